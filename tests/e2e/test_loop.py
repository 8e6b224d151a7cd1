"""The loop itself, short but real: days of March on Airflow, MLflow, Feast, BentoML and Evidently, by one command."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, free_ports: dict[str, str]) -> Path:
    """A short demo that has ended; its folder. The output of one that failed is the test's error."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "infra.local.demo", "--short", "--exit"],
        cwd=ROOT,
        env=free_ports | {"FLYWHEEL_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return folder


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
