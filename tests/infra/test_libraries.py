"""The switches are those that the installed libraries read, and loopback is asked without a proxy by each client."""

import sysconfig
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import requests

from infra.libraries import NO_PROXY, NO_REPORTS, asked_directly
from infra.settings import Settings, child_environment
from tests.answering import answering

PACKAGES = Path(sysconfig.get_paths()["platlib"])
READERS = {
    "BENTOML_DO_NOT_TRACK": "bentoml/_internal/utils/analytics/usage_stats.py",
    "DO_NOT_TRACK": "evidently/telemetry.py",
    "GX_ANALYTICS_ENABLED": "great_expectations/data_context/data_context/abstract_data_context.py",
    "ITERATIVE_DO_NOT_TRACK": "iterative_telemetry/__init__.py",
    "MLFLOW_DISABLE_TELEMETRY": "mlflow/telemetry/utils.py",
    "ORT_DISABLE_TELEMETRY": "onnxruntime/capi/onnxruntime_pybind11_state*.so",
}


def test_each_switch_is_one_that_the_installed_library_reads() -> None:
    assert set(READERS) == set(NO_REPORTS)
    for switch, pattern in READERS.items():
        (reader,) = PACKAGES.glob(pattern)
        assert switch.encode() in reader.read_bytes(), f"{reader} has another switch now; look for it"


def by_urllib(url: str) -> int:
    try:
        with urllib.request.build_opener().open(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


CLIENTS: dict[str, Callable[[str], int]] = {
    "httpx, as Airflow's tasks": lambda url: httpx.get(url, timeout=5).status_code,
    "requests, as MLflow's client": lambda url: requests.get(url, timeout=5).status_code,
    "urllib": by_urllib,
}


@pytest.fixture
def server() -> Iterator[str]:
    with answering(200, "it is me") as url:
        yield url


@pytest.fixture
def refusing_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One in the environment, in both spellings."""
    with answering(403, "no") as url:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, url)
        yield


@pytest.mark.usefixtures("refusing_proxy")
@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
def test_loopback_is_asked_directly_and_would_not_be_as_it_was(
    server: str, ask: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(server) == 200
    assert ask(server.replace("127.0.0.1", "localhost")) == 200

    for name in NO_PROXY:
        monkeypatch.delenv(name)
    assert ask(server) == 403


@pytest.mark.parametrize(
    ("set_by_user", "directly"),
    [
        ({}, "10.1.2.3"),
        ({"NO_PROXY": "a.example, b.example"}, "a.example,b.example,10.1.2.3"),
        ({"no_proxy": "a.example"}, "a.example,10.1.2.3"),
        ({"NO_PROXY": "a.example", "no_proxy": "b.example,a.example"}, "a.example,b.example,10.1.2.3"),
        ({"NO_PROXY": "10.1.2.3"}, "10.1.2.3"),
        ({"no_proxy": "a.example,*"}, "*"),
    ],
    ids=["nothing", "upper case", "lower case", "both", "it itself", "everything"],
)
def test_what_a_user_excepted_stays_excepted_in_both_spellings(
    set_by_user: dict[str, str], directly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NO_PROXY:
        monkeypatch.delenv(name)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)

    assert asked_directly("10.1.2.3") == dict.fromkeys(NO_PROXY, directly)


def test_a_child_asks_the_address_that_the_servers_bind_directly() -> None:
    environment = child_environment(Settings(bind="10.1.2.3"))

    assert [environment[name].split(",")[-1] for name in NO_PROXY] == ["10.1.2.3", "10.1.2.3"]


def test_mlflows_client_asks_the_address_that_its_server_binds_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = ("TRACKING_URI", "TRACKING_USERNAME", "TRACKING_PASSWORD", "HTTP_REQUEST_MAX_RETRIES")
    others = ("HTTP_REQUEST_TIMEOUT", "ALLOW_PICKLE_DESERIALIZATION")
    for name in (*NO_PROXY, *(f"MLFLOW_{name}" for name in (*mlflow, *others))):
        monkeypatch.setenv(name, "")
    settings = Settings(data_dir=tmp_path, bind="10.1.2.3")
    settings.make_secrets()

    settings.use_mlflow()

    assert requests.utils.should_bypass_proxies(settings.mlflow_url, no_proxy=None)
