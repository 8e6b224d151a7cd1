"""The loop itself, short but real: days of March on Airflow, MLflow, Feast, BentoML and Evidently, by one command.

It is played where there is no network but loopback, behind a proxy that refuses everything, with an empty home folder.
"""

import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.settings import SECRET_NAMES
from tests.e2e.loopback_only import LoopbackOnly
from tests.e2e.processes import CANARIES


@pytest.fixture(scope="module")
def report(demo: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((demo / "demo" / "report.json").read_text())
    return loaded


def test_every_request_was_answered(report: dict[str, Any]) -> None:
    assert sum(interval["predictions"] for interval in report["intervals"]) > 1_000
    assert sum(interval["failed_requests"] for interval in report["intervals"]) == 0


def test_what_was_served_equals_what_training_would_have_seen(report: dict[str, Any]) -> None:
    assert report["parity"]["compared"] > 500
    assert report["parity"]["mismatched"] == 0


def test_the_first_model_went_through_the_gate_and_was_seen_serving(report: dict[str, Any]) -> None:
    first = report["releases"][0]
    assert first["version"] == "1"
    assert first["served_at"] >= first["alias_set_at"]
    assert set(first["gate"]) == {"difference", "low", "high", "minimum"}


def test_every_interval_was_judged(report: dict[str, Any]) -> None:
    for interval in report["intervals"]:
        assert interval["decision"] in {"none", "watch", "retrain", "data_defect", "insufficient"}
        assert sum(interval["versions"].values()) == interval["predictions"]


def test_the_page_stands_by_itself(demo: Path) -> None:
    page = (demo / "demo" / "report.html").read_text()
    assert "<svg" in page or "data:image/png" in page
    fetched = re.findall(r"""(?:src|href|action)=["']?(https?:[^"'\s>]+)|url\((https?:[^)]+)\)|@import""", page)
    assert fetched == []


def test_nothing_that_it_started_is_left(demo: Path) -> None:
    left = [process.pid for process in psutil.process_iter(["cmdline"]) if str(demo) in str(process.info["cmdline"])]
    assert left == []


@pytest.mark.usefixtures("demo")
def test_no_process_tried_to_reach_anything_beyond_loopback(place_of_demo: LoopbackOnly) -> None:
    assert place_of_demo.tried_beyond == []


@pytest.mark.usefixtures("demo")
def test_no_process_asked_the_proxy_of_its_environment(place_of_demo: LoopbackOnly) -> None:
    assert place_of_demo.asked_of_proxy == []


@pytest.mark.usefixtures("demo")
def test_no_process_left_anything_in_the_home_folder(place_of_demo: LoopbackOnly) -> None:
    assert place_of_demo.left_at_home == []


def secrets_of(demo: Path) -> dict[str, bytes]:
    """Every secret of the installation and every canary of its environment, by name."""
    (folder,) = demo.glob("demo/*/secrets")
    found = {name: (folder / name).read_bytes().strip() for name in SECRET_NAMES}
    found["model_signing_key"] = (folder / "model_signing_key").read_bytes().splitlines()[1]
    return found | {name: value.encode() for name, value in CANARIES.items()}


def where_found(secrets: dict[str, bytes], folder: Path) -> list[str]:
    """`secret in file` for each file outside the folder of secrets that holds one."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    contents = ((path, path.read_bytes()) for path in paths)
    return [f"{name} in {path}" for path, content in contents for name, secret in secrets.items() if secret in content]


def test_no_secret_is_in_a_log_a_database_a_model_or_a_report(demo: Path) -> None:
    """In everything that a whole loop leaves: logs of servers and tasks, MLflow's runs, every database and report."""
    assert len(secrets_of(demo)) == 13
    assert where_found(secrets_of(demo), demo) == []


def test_the_control_a_secret_that_a_task_prints_is_found(demo: Path, tmp_path: Path) -> None:
    secrets = secrets_of(demo)
    (tmp_path / "task.log").write_bytes(b"password=" + secrets["mlflow_password"] + b" refused")
    assert where_found(secrets, tmp_path) == [f"mlflow_password in {tmp_path / 'task.log'}"]
