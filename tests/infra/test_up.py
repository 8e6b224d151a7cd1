"""The commands of an installation that was never made: one sentence that says what to run."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra.database.before import contents, folder_of_before
from tests.infra.test_demo import ROOT, environment_of


def ended(command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", *command.split()]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("infra.local.up", "up: no database at"),
        ("infra.local.feast_ui", "feast-ui: no feature registry"),
    ],
)
def test_an_installation_that_was_never_made_is_a_sentence(tmp_path: Path, command: str, words: str) -> None:
    done = ended(command, environment_of(tmp_path / "var"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(words)
    assert "run `make setup` first" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("command", ["infra.local.setup", "infra.local.up"])
def test_a_folder_of_before_is_refused_with_a_way_on_and_nothing_is_left_in_it(tmp_path: Path, command: str) -> None:
    root = folder_of_before(tmp_path / "var").root
    root.chmod(0o755)
    before = contents(root)
    done = ended(command, environment_of(root))
    assert done.returncode == 1
    assert done.stderr.endswith("leave them as they are, and set FLYWHEEL_DATA_DIR to a new folder\n")
    assert done.stderr.count("\n") == 1
    assert contents(root) == before
    assert root.stat().st_mode & 0o777 == 0o755


def test_set_up_refuses_two_servers_on_one_port_and_makes_nothing(tmp_path: Path) -> None:
    done = ended("infra.local.setup", environment_of(tmp_path / "var", MLFLOW_PORT=5510, AIRFLOW_PORT=5510))
    sentence = "setup: FLYWHEEL_MLFLOW_PORT and FLYWHEEL_AIRFLOW_PORT both come to port 5510; change one\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    "command",
    [
        "feature_repo quality flight_delay",
        "training trainings flight_delay",
        "serving run flight_delay",
        "monitoring ask flight_delay",
        *(f"infra.local.{name}" for name in ("setup", "up", "demo", "feast_ui", "mlflow_server")),
        "infra.local.airflow_server scheduler",
    ],
)
def test_a_setting_that_is_none_is_one_sentence_of_every_command(tmp_path: Path, command: str) -> None:
    done = ended(command, environment_of(tmp_path / "var", MLFLOW_PORT="abc"))
    assert done.returncode == 1
    assert done.stderr.endswith("FLYWHEEL_MLFLOW_PORT is 'abc', expected a valid integer; correct it or unset it\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["feature_repo build flight_delay", "serving score flight_delay --version 1 --out x"]
)
def test_a_time_that_is_none_is_one_sentence_of_every_command(tmp_path: Path, command: str) -> None:
    done = ended(f"{command} --start yesterday --end 2013-01-01T00:00:00Z", environment_of(tmp_path / "var"))
    assert done.returncode == 1
    assert "--start is 'yesterday', expected a time of ISO 8601" in done.stderr
    assert done.stderr.count("\n") == 1
