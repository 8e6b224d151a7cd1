"""The commands as a person or a DAG runs them: a process, its exit code, what it prints."""

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.contracts import lake
from infra.settings import Settings, child_environment
from tests.feature_repo.landed import START, TWO_DAYS, ingest, lake_digests, land, write_references

INTERVAL = ("--start", START.isoformat(), "--end", TWO_DAYS.end.isoformat())


def command(data_dir: Path, *arguments: str, chaos: str = "") -> subprocess.CompletedProcess[str]:
    environment = child_environment(Settings(data_dir=data_dir, chaos=chaos), {"COLUMNS": "200"})
    line = [sys.executable, "-m", "feature_repo", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ingest", "churn", "flights"), "no use case 'churn'; there are: flight_delay"),
        (("ingest", "flight_delay", "trains"), "flight_delay has no source 'trains'; there are: flights, weather"),
        (("ingest", "flight_delay", "flights"), "run `python -m feature_repo reference USE_CASE` first"),
    ],
    ids=["use case", "source", "references"],
)
def test_a_mistake_ends_with_1_and_one_line_that_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = command(tmp_path, *arguments, *INTERVAL)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert sentence in ended.stderr


def test_a_killed_ingest_is_ended_by_the_same_command_again(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    """The whole command, Great Expectations included; the crash points in turn are in `test_ingest.py`."""
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    for data_dir in (clean, killed):
        write_references(data_dir)
        for source, rows in two_days.items():
            land(data_dir, source, rows)
    for source in two_days:
        ingest(clean, source)

    ended = command(killed, "ingest", "flight_delay", "flights", *INTERVAL, chaos="silver_partition_written")
    assert ended.returncode == -signal.SIGKILL
    assert not lake.silver(killed, "flights").exists()

    ended = command(killed, "ingest", "flight_delay", "flights", "weather", *INTERVAL)
    assert ended.returncode == 0, ended.stderr
    assert "quarantined, 0 repeats; score 1.0000" in ended.stdout
    for source in two_days:
        assert lake_digests(killed, source) == lake_digests(clean, source)

    shown = command(killed, "quality", "flight_delay")
    assert "referential:tail_number" in shown.stdout


def test_references_and_feed_are_written_for_a_replay(tmp_path: Path) -> None:
    assert command(tmp_path, "reference", "flight_delay").returncode == 0
    assert lake.reference(tmp_path, "planes").exists()
    ended = command(tmp_path, "feed", "flight_delay", "--out", str(tmp_path / "feed"))
    assert "flights.parquet: 1002073 rows" in ended.stdout
    assert sorted(path.name for path in (tmp_path / "feed").iterdir()) == ["flights.parquet", "weather.parquet"]
