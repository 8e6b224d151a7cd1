"""What the commands print and how they end before there is anything."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feature_repo.contracts.control import TrainingState
from infra.database import migrate, reading
from infra.settings import Settings
from training.__main__ import app
from training.admission import admit
from training.control import trainings
from training.errors import Refused
from training.use_cases.flight_delay import TRAINING

NAME = TRAINING.contract.name
NOW = datetime(2013, 5, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """That of the data folder `tmp_path`."""
    made = Settings(data_dir=tmp_path).database
    migrate(made)
    return made


def test_before_the_first_training_the_list_says_so(tmp_path: Path, database: str) -> None:
    environment = {"FLYWHEEL_DATA_DIR": str(tmp_path)}
    assert CliRunner().invoke(app, ["trainings", NAME], env=environment).output == (
        "flight_delay: no training was admitted yet\n"
    )
    admitted = admit(database, TRAINING, now=NOW, wall=NOW, bootstrap=True)
    (line,) = CliRunner().invoke(app, ["trainings", NAME], env=environment).output.splitlines()
    assert admitted.training_id in line


def test_a_training_is_not_abandoned_without_a_reason(tmp_path: Path, database: str) -> None:
    environment = {"FLYWHEEL_DATA_DIR": str(tmp_path)}
    admit(database, TRAINING, now=NOW, wall=NOW, bootstrap=True)
    ended = CliRunner().invoke(app, ["abandon", NAME, "--reason", ""], env=environment)
    assert isinstance(ended.exception, ValueError)
    with reading(database) as connection:
        assert [each.state for each in trainings(connection, NAME)] == [TrainingState.OPEN]


@pytest.mark.parametrize("command", [["dataset"], ["fit"], ["gate"], ["abandon", "--reason", "x"]], ids=lambda c: c[0])
def test_without_an_open_training_there_is_nothing_to_do(tmp_path: Path, database: str, command: list[str]) -> None:
    environment = {"FLYWHEEL_DATA_DIR": str(tmp_path)}
    ended = CliRunner().invoke(app, [command[0], NAME, *command[1:]], env=environment)
    assert isinstance(ended.exception, Refused)
    assert "admit one first" in str(ended.exception)
