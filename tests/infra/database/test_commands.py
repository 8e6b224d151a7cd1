"""The commands of every layer where there is no database, or one of before: one sentence, 1, and nothing changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.database.compatibility import HEAD
from infra.database.engine import making
from infra.database.migrate import migrate
from infra.local import setup
from infra.local.errors import InstallationError
from infra.settings import Settings, child_environment
from tests.infra.database.before import contents, folder_of_before

ROOT = Path(__file__).parents[3]
INTERVAL = ("--start", "2013-02-08", "--end", "2013-02-10")
COMMANDS = (
    ("feature_repo", "ingest", "flight_delay", "flights", *INTERVAL),
    ("feature_repo", "quality", "flight_delay"),
    ("training", "admit", "flight_delay", "--bootstrap"),
    ("training", "dataset", "flight_delay"),
    ("training", "pause", "flight_delay", "--reason", "x"),
    ("training", "abandon", "flight_delay", "--reason", "x"),
    ("training", "trainings", "flight_delay"),
    ("serving", "run", "flight_delay"),
    ("serving", "release", "flight_delay"),
    ("monitoring", "check", "flight_delay"),
    ("monitoring", "report", "flight_delay"),
    ("monitoring", "ask", "flight_delay"),
    ("monitoring", "serve"),
)


def ended(settings: Settings, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line, environment = [sys.executable, "-m", module, *arguments], child_environment(settings)
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]))
def test_a_command_without_a_usable_database_is_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    nothing = Settings(data_dir=tmp_path / "nothing", serving_port=1, mlflow_port=1)
    former = folder_of_before(tmp_path / "C# former")
    before = contents(tmp_path)
    for settings, words in (
        (nothing, f"no database at {nothing.root}/control.db; run `make setup` first, or see FLYWHEEL_DATA_DIR"),
        (former, f"{former.root}/control.db was made before the database had versions"),
    ):
        done = ended(settings, *command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert words in done.stderr
    assert contents(tmp_path) == before


def test_set_up_refuses_a_folder_of_before_and_changes_nothing(tmp_path: Path) -> None:
    former = folder_of_before(tmp_path / "former")
    before = contents(tmp_path)
    done = ended(former, "infra.local.setup")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith(f"setup: {former.root}/control.db was made before the database had versions")
    assert "set FLYWHEEL_DATA_DIR to a new folder" in done.stderr
    assert contents(tmp_path) == before


def test_set_up_makes_the_database_and_migrates_an_older_one(tmp_path: Path) -> None:
    for name, revision in (("new", None), ("older", "0001")):
        settings = Settings(data_dir=tmp_path / name)
        settings.root.mkdir()
        if revision is not None:
            migrate(settings.database, revision)
        setup.make_databases(settings)
        with making(settings.database) as connection:
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        assert version == HEAD
        assert settings.prediction_log.exists()


def test_what_the_database_refuses_set_up_refuses_as_what_cannot_be_installed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "var")
    settings.root.mkdir()
    (settings.root / "control.db").write_text("no database" * 1000)
    with pytest.raises(InstallationError, match="file is not a database; end what holds it, or bring it back"):
        setup.set_up(settings)
    assert [path.name for path in settings.root.iterdir()] == ["control.db"]
