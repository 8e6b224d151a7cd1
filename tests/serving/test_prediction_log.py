import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import NotLogged
from serving.prediction_log import LoggedPrediction, PredictionLog
from tests.serving.installation import REPOSITORY

ROW = LoggedPrediction(
    prediction_id="id",
    use_case="flight_delay",
    idempotency_key="key",
    requested_at=1,
    logged_at=2,
    replayed=0,
    model_version="1",
    feature_service="flight_delay_v1",
    as_of=None,
    request="{}",
    vector="[]",
    probability=0.1,
    decision=0,
    degraded="[]",
    answer='{"prediction_id":"id"}',
)


def row(number: int, *, vector: str = "[]") -> LoggedPrediction:
    return replace(ROW, prediction_id=f"id-{number}", idempotency_key=f"key-{number}", vector=vector)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    with PredictionLog(tmp_path / "predictions.db", durability="write") as log:
        yield log


def ids(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [name for (name,) in connection.execute("SELECT prediction_id FROM predictions ORDER BY sequence")]
    connection.close()
    return found


def test_no_rows_are_recorded_without_asking_the_log(log: PredictionLog) -> None:
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    log.write([])

    other.close()
    assert ids(log.path) == []


def test_a_written_row_is_seen_by_another_process_at_once(log: PredictionLog) -> None:
    log.write([row(1), row(2)])

    assert ids(log.path) == ["id-1", "id-2"]
    assert log.answered("flight_delay", "key-1") == ("{}", '{"prediction_id":"id"}')
    assert log.answered("flight_delay", "key-3") is None
    assert log.answered("another", "key-1") is None


def test_a_group_is_written_whole_or_not_at_all(log: PredictionLog) -> None:
    log.write([row(1)])

    with pytest.raises(NotLogged):
        log.write([row(2), row(1)])

    assert ids(log.path) == ["id-1"]
    log.write([row(2)])
    assert ids(log.path) == ["id-1", "id-2"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of 1 MB")
def test_a_full_disk_is_507_and_heals_by_itself(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        ballast = tmp_path / "ballast"
        ballast.write_bytes(b"0" * 200_000)
        with PredictionLog(tmp_path / "predictions.db", durability="write") as log:
            acknowledged, status = fill(log)
            assert status == 507
            assert ids(log.path) == acknowledged
            ballast.unlink()
            log.write([row(1001)])
            assert ids(log.path) == [*acknowledged, "id-1001"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def fill(log: PredictionLog) -> tuple[list[str], int]:
    """What was written until the log refused, and the status of the refusal."""
    acknowledged: list[str] = []
    while True:
        number = len(acknowledged)
        try:
            log.write([row(number, vector="1" * 4000)])
        except NotLogged as refused:
            return acknowledged, refused.status
        acknowledged.append(f"id-{number}")


WRITER = """
import sys
from pathlib import Path
from serving.prediction_log import PredictionLog
from tests.serving.test_prediction_log import row
log = PredictionLog(Path(sys.argv[1]), durability=sys.argv[2])
for number in range(3):
    log.write([row(number)])
    print(f"ack {number}", flush=True)
import os
os.kill(os.getpid(), 9)
"""


def system_calls(tmp_path: Path, durability: str) -> list[str]:
    """What a writer did to the WAL and to its standard output, in order, until it was killed."""
    trace = tmp_path / "trace"
    command = [sys.executable, "-c", WRITER, str(tmp_path / "predictions.db"), durability]
    calls = "trace=write,pwrite64,fsync,fdatasync"
    subprocess.run(["strace", "-y", "-o", str(trace), "-e", calls, *command], cwd=REPOSITORY, check=False, timeout=60)
    return trace.read_text().splitlines()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("durability", ["fsync", "write"])
def test_with_fsync_an_answer_is_on_disk_before_it_is_acknowledged(tmp_path: Path, durability: str) -> None:
    calls = system_calls(tmp_path, durability)

    acks = [index for index, call in enumerate(calls) if '"ack ' in call]
    synced = [
        any("predictions.db-wal" in call and "sync(" in call for call in calls[begin:end])
        for begin, end in zip([0, *acks], acks, strict=False)
    ]
    assert len(acks) == 3
    assert all(synced[1:]) is (durability == "fsync")
    assert ids(tmp_path / "predictions.db") == ["id-0", "id-1", "id-2"]
