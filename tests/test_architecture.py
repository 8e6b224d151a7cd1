"""The import law and the shape of the tree: what keeps the layers apart is checked, not hoped for."""

import ast
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.contracts import USE_CASES
from infra.libraries import NO_PROXY, NO_REPORTS

ROOT = Path(__file__).parents[1]
LAYERS = ("feature_repo", "training", "serving", "monitoring", "dags", "infra")
LEAVES = (
    "infra.settings",
    "infra.clock",
    "infra.database",
    "infra.lake",
    "infra.libraries",
    "infra.logs",
    "infra.one_shot",
    "infra.quoting",
    "infra.whole_file",
)
LEAVES_OF_LEAVES = ("infra.clock", "infra.database", "infra.libraries", "infra.quoting", "infra.whole_file")
SHARED = ("feature_repo.contracts", *LEAVES)
# The point-in-time join that parity checks answers with has to be the one that training sets are made by.
SHARED_WITH = {"training": ("feature_repo.offline", "feature_repo.errors")}
REPORTING = {"airflow", "bentoml", "evidently", "feast", "great_expectations", "mlflow", "onnxruntime"}
REQUESTS = "Client AsyncClient request stream get post put patch delete head options"
HTTPX = {f"httpx.{name}" for name in REQUESTS.split()}
USE_CASE_FILES = (
    "feature_repo/contracts/{}.py",
    "feature_repo/use_cases/{}.py",
    "training/use_cases/{}.py",
    "serving/use_cases/{}.py",
    "monitoring/use_cases/{}.py",
    "dags/use_cases/{}.py",
)


def sources(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imported_modules(path: Path, text: str) -> Iterator[str]:
    """Every module that a file imports, also inside its functions; `from a import b` yields `a.b`."""
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; every import path here is a file path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def breaches(layer: str, path: Path, text: str) -> list[str]:
    """Imports of another layer that the law does not allow to this file."""
    inside = str(path.relative_to(ROOT)).removesuffix(".py").replace("/", ".")
    allowed: tuple[str, ...] = (
        SHARED if is_within(inside, "feature_repo.contracts") else (*SHARED, *SHARED_WITH.get(layer, ()), layer)
    )
    for leaf in LEAVES:
        if is_within(inside, leaf):
            allowed = (leaf, *LEAVES_OF_LEAVES)
    if is_within(inside, "feature_repo.contracts"):
        allowed = ("feature_repo.contracts",)
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for module in imported_modules(path, text)
        if module.split(".")[0] in LAYERS and not any(is_within(module, name) for name in allowed)
    ]


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_meet_only_in_contracts_and_leaves(layer: str) -> None:
    assert [breach for path in sources(layer) for breach in breaches(layer, path, path.read_text())] == []


def test_the_import_law_sees_a_breach() -> None:
    path = ROOT / "serving" / "planted.py"
    assert breaches("serving", path, "def f():\n    from training.models import Network\n") == [
        "serving/planted.py imports training.models.Network"
    ]


def test_only_the_leaf_reads_the_tables_of_the_lake_and_one_module_writes_them() -> None:
    """No layer opens a table, or builds its path, by itself."""
    importers = {
        str(path.relative_to(ROOT))
        for layer in LAYERS
        for path in sources(layer)
        if any(is_within(module, "deltalake") for module in imported_modules(path, path.read_text()))
    }
    assert importers == {"infra/lake/snapshot.py", "feature_repo/lake.py", "feature_repo/retention.py"}


def test_contracts_need_the_standard_library_only() -> None:
    for path in sources("feature_repo/contracts"):
        for module in imported_modules(path, path.read_text()):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or is_within(module, "feature_repo.contracts"), f"{path}: {module}"


@pytest.mark.parametrize("layer", ["feature_repo", "training", "serving", "monitoring", "dags"])
def test_machinery_never_imports_a_use_case(layer: str) -> None:
    for path in sources(layer):
        if "use_cases" in path.parts or "contracts" in path.parts:
            continue
        for module in imported_modules(path, path.read_text()):
            assert ".use_cases" not in module, f"{path} imports {module}: load it by its name instead"


@pytest.mark.parametrize("use_case", sorted(USE_CASES))
def test_a_use_case_has_its_six_files_and_they_only_declare(use_case: str) -> None:
    for pattern in USE_CASE_FILES:
        path = ROOT / pattern.format(use_case)
        text = path.read_text()
        assert path == ROOT / USE_CASE_FILES[0].format(use_case) or len(text.splitlines()) < 80, path
        if "contracts" not in path.parts:
            branches = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.If, ast.For, ast.While))]
            assert not branches, f"{path}:{branches[0].lineno} decides or loops; a use case declares"


@pytest.mark.parametrize("layer", LAYERS)
def test_only_settings_reads_the_environment(layer: str) -> None:
    for path in sources(layer):
        if path.relative_to(ROOT / layer) not in {Path("settings.py"), Path("libraries.py")} or layer != "infra":
            text = path.read_text()
            assert "os.environ" not in text, path
            assert "os.getenv" not in text, path


def test_what_configures_the_libraries_writes_the_environment_and_reads_only_what_is_excepted_from_a_proxy() -> None:
    text = (ROOT / "infra" / "libraries.py").read_text()
    assert re.findall(r"environ\.\w+|getenv", text) == ["environ.update", "environ.setdefault", "environ.get"]
    assert "for variable in NO_PROXY for host in os.environ.get(variable" in text


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_configures_the_libraries_before_any_of_its_modules_is_imported(layer: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {*NO_REPORTS, *NO_PROXY}}
    printed = subprocess.run(
        [sys.executable, "-c", f"import {layer}, json, os; print(json.dumps(dict(os.environ)))"],
        cwd=ROOT,
        env=environment | {"NO_PROXY": "intranet.example", "ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True,
        check=True,
    ).stdout

    configured = json.loads(printed)
    assert NO_REPORTS.items() <= configured.items()
    assert {configured[name] for name in NO_PROXY} == {"intranet.example,localhost,127.0.0.1,::1"}


def test_every_process_and_the_bench_begin_with_a_layer() -> None:
    """Its package is the first to be imported, and none of the libraries that report home is imported before it."""
    commands = [line.split(": ")[1] for line in (ROOT / "Procfile").read_text().splitlines() if ": python" in line]
    assert [
        command for command in commands if not command.startswith(tuple(f"python -m {name}" for name in LAYERS))
    ] == []

    imports = imported_modules(Path("bench"), (ROOT / "tests" / "bench" / "__main__.py").read_text())
    tops = [module.split(".")[0] for module in imports]
    assert not REPORTING & {*itertools.takewhile(lambda top: top not in LAYERS, tops)}


@pytest.mark.parametrize("layer", LAYERS)
def test_no_request_of_ours_goes_by_a_proxy_of_the_environment(layer: str) -> None:
    for path in sources(layer):
        assert requests_by_environment(path, path.read_text()) == []


def requests_by_environment(path: Path, text: str) -> list[str]:
    """Where httpx is used without `trust_env=False`, and every client that cannot be told so."""
    clients = [
        module
        for module in imported_modules(path, text)
        if is_within(module, "requests") or is_within(module, "urllib.request")
    ]
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    asking = [call for call in calls if ast.unparse(call.func) in HTTPX]
    return clients + [
        f"{path.name}:{call.lineno}" for call in asking if "trust_env=False" not in map(ast.unparse, call.keywords)
    ]


def test_a_request_by_a_proxy_of_the_environment_is_seen() -> None:
    text = "import httpx\nimport urllib.request\nhttpx.get('http://x')\nhttpx.Client(trust_env=False)\nhttpx.Client()\n"
    assert requests_by_environment(Path("planted.py"), text) == ["urllib.request", "planted.py:3", "planted.py:5"]


@pytest.mark.parametrize("layer", LAYERS)
def test_no_pickle_is_ever_loaded(layer: str) -> None:
    for path in sources(layer):
        for module in imported_modules(path, path.read_text()):
            assert module.split(".")[0] not in {"pickle", "joblib", "dill", "cloudpickle"}, f"{path}: {module}"
        for call in ("torch.load", "torch.save", "allow_pickle=True", "yaml.load("):
            assert call not in path.read_text(), f"{path}: {call}"


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_says_what_it_is(layer: str) -> None:
    for path in sources(layer):
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_there_is_no_drawer_for_leftovers() -> None:
    names = {path.stem for layer in LAYERS for path in sources(layer)}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_name_resolves_inside_the_repository(layer: str) -> None:
    spec = importlib.util.find_spec(layer)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)
