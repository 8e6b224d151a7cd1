"""The commands as a person or a DAG runs them: a process, its exit code, what it prints."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from feature_repo.__main__ import app
from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.errors import IntervalRefusedError, NothingToDoError, ParityError, ReferenceMissingError
from infra.database import migrate
from infra.settings import Settings, child_environment
from tests.feature_repo.landed import (
    START,
    TWO_DAYS,
    ingest,
    land,
    set_up,
    silver,
    tables_of,
)

INTERVAL = ("--start", START.isoformat(), "--end", TWO_DAYS.end.isoformat())


def made(data_dir: Path) -> Path:
    """The folder, with a database as `make setup` leaves it."""
    migrate(Settings(data_dir=data_dir).database)
    return data_dir


def invoked(data_dir: Path, *arguments: str) -> Result:
    """A command in this process: its output, its exit code, or the error that `main` would print as one line."""
    return CliRunner().invoke(app, arguments, env={"FLYWHEEL_DATA_DIR": str(data_dir), "COLUMNS": "200"})


def command(data_dir: Path, *arguments: str, chaos: str = "") -> subprocess.CompletedProcess[str]:
    environment = child_environment(Settings(data_dir=data_dir, chaos=chaos), {"COLUMNS": "200"})
    line = [sys.executable, "-m", "feature_repo", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ingest", "churn", "flights"), "no use case 'churn'; there are: flight_delay"),
        (("ingest", "flight_delay", "trains"), "flight_delay has no source 'trains'; there are: flights, weather"),
        (("ingest", "flight_delay", "flights"), "run `python -m feature_repo reference flight_delay` first"),
    ],
    ids=["use case", "source", "references"],
)
def test_a_mistake_ends_with_1_and_one_line_that_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = command(made(tmp_path), *arguments, *INTERVAL)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert sentence in ended.stderr


def test_a_killed_ingest_is_ended_by_the_same_command_again(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    """The whole command, Great Expectations included; the crash points in turn are in `test_ingest.py`."""
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    for data_dir in (clean, killed):
        set_up(data_dir)
        for source, rows in two_days.items():
            land(data_dir, source, rows)
    for source in two_days:
        ingest(clean, source)

    ended = command(killed, "ingest", "flight_delay", "flights", *INTERVAL, chaos="silver_committed")
    assert ended.returncode == -signal.SIGKILL
    assert silver(killed).num_rows == 0

    ended = command(killed, "ingest", "flight_delay", "flights", "weather", *INTERVAL)
    assert ended.returncode == 0, ended.stderr
    assert "quarantined, 0 repeats; score 1.0000" in ended.stdout
    for source in two_days:
        assert tables_of(killed, source) == tables_of(clean, source)

    shown = command(killed, "quality", "flight_delay")
    assert "referential:tail_number" in shown.stdout


def test_references_and_feed_are_written_for_a_replay(tmp_path: Path) -> None:
    assert command(made(tmp_path), "reference", "flight_delay").returncode == 0
    assert folders.reference(tmp_path, "flight_delay", "planes").exists()
    ended = command(tmp_path, "feed", "flight_delay", "--out", str(tmp_path / "feed"))
    assert "flights.parquet: 1002073 rows" in ended.stdout
    assert sorted(path.name for path in (tmp_path / "feed").iterdir()) == ["flights.parquet", "weather.parquet"]


def test_before_anything_was_delivered_a_build_says_what_it_found(tmp_path: Path) -> None:
    migrate(Settings(data_dir=tmp_path).database)
    ended = invoked(tmp_path, "build", "flight_delay", *INTERVAL)
    lines = ended.output.splitlines()
    assert ended.exit_code == 0
    assert lines[:2] == [
        f"flights, weather: not ingested in {TWO_DAYS}; if there were deliveries, ingest it and build again",
        "flights, weather: no clean row in the lake; `python -m feature_repo quality flight_delay` says why",
    ]
    assert all(line.endswith(f" {TWO_DAYS}: 0 rows") for line in lines[2:-1])
    assert lines[-1] == f"flight_delay: gold has no row in {TWO_DAYS}, as no source has one that it could be made of"
    assert len(lines) == 11


def test_a_build_names_what_was_not_ingested_within_its_interval(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    set_up(tmp_path)
    day = timedelta(days=1)
    for source, rows in two_days.items():
        land(tmp_path, source, rows)
        ingest(tmp_path, source, DataInterval(start=START, end=START + day))
    ended = invoked(tmp_path, "build", "flight_delay", *INTERVAL)
    second = DataInterval(start=START + day, end=START + 2 * day)
    lines = ended.output.splitlines()
    assert lines[0] == (
        f"flights, weather: not ingested in {second}; if there were deliveries, ingest it and build again"
    )
    assert (
        len([line for line in lines if "not ingested" in line or "no clean row" in line or "gold has no" in line]) == 1
    )

    ingest(tmp_path, "weather")
    ended = invoked(tmp_path, "build", "flight_delay", *INTERVAL)
    assert ended.output.startswith(f"flights: not ingested in {second}; ")


def test_of_sources_that_delivered_nothing_one_sentence_is_said(tmp_path: Path) -> None:
    set_up(tmp_path)
    ended = invoked(tmp_path, "ingest", "flight_delay", "flights", "weather", *INTERVAL)
    assert isinstance(ended.exception, IntervalRefusedError)
    assert str(ended.exception).startswith(f"flights, weather delivered nothing in {TWO_DAYS}; expected at least one")
    assert str(ended.exception).count("delivered nothing") == 1
    assert "weather  2013-02-08 00:00  2013-02-10 00:00     0    0       0  refused" in (
        invoked(tmp_path, "quality", "flight_delay").output
    )


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            ("ingest", "flight_delay", "flights", *INTERVAL),
            ReferenceMissingError,
            "run `python -m feature_repo reference",
        ),
        (("materialize", "flight_delay"), NothingToDoError, "the gold tables are empty; run `python -m feature_repo b"),
        (("stream", "flight_delay"), ReferenceMissingError, "run `python -m feature_repo reference"),
        (("parity", "flight_delay"), ParityError, "serve some requests first"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_in_an_empty_folder_a_command_says_what_to_run_first(
    tmp_path: Path, arguments: tuple[str, ...], error: type[Exception], sentence: str
) -> None:
    ended = invoked(made(tmp_path), *arguments)
    assert isinstance(ended.exception, error)
    assert sentence in str(ended.exception)


def test_before_the_first_ingest_there_is_no_quality_and_it_says_so(tmp_path: Path) -> None:
    assert invoked(made(tmp_path), "quality", "flight_delay").output == "flight_delay: no interval was ingested yet\n"


@pytest.mark.parametrize(
    "arguments",
    [("ingest", "flight_delay", "flights", *INTERVAL), ("quality", "flight_delay"), ("reference", "flight_delay")],
    ids=lambda arguments: arguments[0],
)
def test_without_a_database_a_command_says_what_to_run_first_and_makes_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ended = command(tmp_path / "var", *arguments)
    path = tmp_path / "var" / "control.db"
    sentence = f"no database at {path}; run `make setup` first, or see FLYWHEEL_DATA_DIR\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_delivered_nothing_keeps_no_other_out(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    set_up(tmp_path)
    land(tmp_path, "flights", two_days["flights"])
    ended = invoked(tmp_path, "ingest", "flight_delay", "weather", "flights", *INTERVAL)
    assert isinstance(ended.exception, IntervalRefusedError)
    assert str(ended.exception).startswith(f"weather delivered nothing in {TWO_DAYS}; expected at least one row")
    assert f"flights {TWO_DAYS}: {two_days['flights'].num_rows} rows delivered" in ended.output
    assert silver(tmp_path).num_rows
    built = invoked(tmp_path, "build", "flight_delay", *INTERVAL)
    assert f"weather: not ingested in {TWO_DAYS}; " in built.output
    assert "weather: no clean row in the lake; " in built.output
    assert f"origin_weather {TWO_DAYS}: 0 rows" in built.output
    assert f"origin_traffic {TWO_DAYS}: 0 rows" not in built.output
