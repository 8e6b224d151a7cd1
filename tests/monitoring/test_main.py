"""The commands where nothing was set up, or nothing is to be done: one sentence, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import Settings, child_environment
from tests.monitoring.world import Installation

ROOT = Path(__file__).parents[2]


def ended(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "monitoring", *arguments]
    environment = child_environment(settings)
    return subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("check", "flight_delay"), 1, "no database at"),
        (("report", "flight_delay"), 1, "no database at"),
        (("ask", "flight_delay"), 1, "no database at"),
        (("serve",), 1, "no database at"),
        (("placebo", "flight_delay", "--table", "none.parquet"), 1, "no table none.parquet"),
    ],
    ids=["check", "report", "ask", "serve", "placebo"],
)
def test_nothing_set_up_is_one_sentence_and_stays_nothing(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = ended(Settings(data_dir=tmp_path / "var", mlflow_port=1, serving_port=1), *arguments)
    assert done.returncode == code
    assert words in (done.stdout + done.stderr).splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("report", "flight_delay: no window that could be judged waits for its report"),
        ("ask", "flight_delay: 0 alarm(s) wait for a training"),
    ],
)
def test_before_the_first_window_there_is_nothing_to_do(tmp_path: Path, command: str, words: str) -> None:
    done = ended(Installation(tmp_path).settings, command, "flight_delay")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (99, words)


def test_a_database_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.settings.prediction_log.write_text("no database" * 1000)
    done = ended(installation.settings, "check", "flight_delay")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    expected = "a database of the data folder: file is not a database; end what holds it, or restore it"
    assert done.stderr.splitlines()[-1] == expected
