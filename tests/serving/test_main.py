"""The commands where nothing was set up or nothing was answered: one sentence, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.settings import Settings, child_environment
from serving.prediction_log import PredictionLog
from tests.serving.installation import make_settings
from tests.serving.test_prediction_log import row

SCORE = ("score", "flight_delay", "--version", "1", "--out", "scores.parquet")


def ended(settings: Settings, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    repository = Path(__file__).parents[2]
    environment = child_environment(settings, {"PYTHONPATH": str(repository)})
    line = [sys.executable, "-m", "serving", *arguments]
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "flight_delay"), 1, "run `make setup` first"),
        (("release", "flight_delay"), 1, "run `make setup` first"),
        (("explain", "x"), 1, "give the id of an answer of the service"),
        (SCORE, 99, "no prediction log at"),
    ],
    ids=["run", "release", "explain", "score"],
)
def test_nothing_set_up_is_one_sentence_and_stays_nothing(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = ended(Settings(data_dir=tmp_path / "var", mlflow_port=1, serving_port=1), tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_is_away_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "var")
    with PredictionLog(settings.prediction_log, durability="write") as log:
        log.write([row(1, vector=str([0] * len(FLIGHT_DELAY.vector)))])
    done = ended(settings, tmp_path, "explain", "id-1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ask again once MLflow runs, `make up` starts it" in done.stderr


def test_a_window_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    window = ("--start", "2013-03-02T00:00:00Z", "--end", "2013-03-01T00:00:00Z")
    done = ended(Settings(data_dir=tmp_path / "var"), tmp_path, *SCORE, *window)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "give an end after its start" in done.stderr
