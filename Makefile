# The two commands that a newcomer needs are `make demo` and `make test`; logic lives in Python.
.DEFAULT_GOAL := help
.PHONY: help setup up demo test test-long bench lint lock feast-ui clean
.DELETE_ON_ERROR:

UV := .uv/bin/uv
PYTHON := .venv/bin/python
ARGS ?=

# The system's store says whom to trust, a company's own authority among them; pip before 24.2 is told where that is.
export UV_SYSTEM_CERTS ?= 1
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
STORES := /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem
.uv/installed: export REQUESTS_CA_BUNDLE ?= $(firstword $(wildcard $(STORES)))

help: ## Print what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/installed: infra/locks/uv.txt
	python3 -m venv .uv
	.uv/bin/python -m pip install --no-cache-dir --quiet --disable-pip-version-check --require-hashes -r infra/locks/uv.txt
	@touch $@

.venv/installed: .uv/installed infra/locks/all.txt Makefile
	$(UV) venv --quiet --clear --relocatable --python 3.11 .venv
	$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes infra/locks/all.txt
	@touch $@

setup: .venv/installed ## Install, then make the folder of state: secrets, keys, databases, feature registry
	$(PYTHON) -m infra.local.setup $(ARGS)

up: setup ## Start every server and stay; Ctrl-C ends them
	$(PYTHON) -m infra.local.up $(ARGS)

demo: .venv/installed ## Play the loop on the flights of 2013; ARGS=--exit ends when it is done
	$(PYTHON) -m infra.local.demo $(ARGS)

test: .venv/installed ## Run the tests, print coverage; ARGS="tests/serving -k swap" for some of them
	$(PYTHON) -m pytest -m "not long" --cov --cov-report=term:skip-covered $(ARGS)

test-long: .venv/installed ## Run the tests that take minutes
	$(PYTHON) -m pytest -m long $(ARGS)

bench: .venv/installed ## Time the hot paths, each beside its control
	$(PYTHON) -W ignore::DeprecationWarning -m tests.bench

lint: .venv/installed ## Check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PYTHON) -m mypy

lock: .uv/installed ## Resolve the dependencies anew; ARGS=--upgrade takes newer versions
	$(UV) run --no-project --python 3.11 infra/local/lock.py --uv $(UV) $(ARGS)

feast-ui: setup ## Show the feature store in Feast's own user interface
	$(PYTHON) -m infra.local.feast_ui $(ARGS)

clean: ## Remove the environments and caches; state in var/ stays
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov
