"""The lake's promises on either database: what names the versions, and what ends with a process or its session."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from feature_repo.lake import change
from infra.database import DatabaseError, LockBusyError, migrate, reading
from infra.database.schema import lake_snapshots
from infra.lake import Lake
from tests.feature_repo.test_lake import BOTH_DAYS, GROUP, MONDAY, ONE_DAY, TUESDAY, at, commit, put, seen, values
from tests.postgresql import Server

WRITES = """
import sys
from datetime import datetime
from pathlib import Path
from feature_repo.chaos import die_at
from infra.lake import Lake
from tests.feature_repo.test_lake import commit
root, value, day, point = sys.argv[1:]
commit(Lake(Path(root), sys.stdin.readline().strip()), int(value), datetime.fromisoformat(day), die_at(point))
"""


@pytest.fixture
def lake(tmp_path: Path, database: str) -> Lake:
    return Lake(tmp_path / "data", database)


def started(lake: Lake, *arguments: str) -> "subprocess.Popen[str]":
    """A writer in a process of its own; the database's address, which may hold a password, goes by its input."""
    command = [sys.executable, "-c", WRITES, str(lake.root), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(f"{lake.database}\n")
    process.stdin.flush()
    return process


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def num_named(lake: Lake) -> int:
    with reading(lake.database) as connection:
        return int(connection.execute(select(func.count()).select_from(lake_snapshots)).scalar_one())


@pytest.mark.parametrize("point", ["silver_answered", "silver_committed", "written", "named"])
def test_a_killed_writer_leaves_the_lock_and_nothing_half_visible(lake: Lake, point: str) -> None:
    commit(lake, 1, MONDAY)
    code, errors = ended(started(lake, "9", TUESDAY.isoformat(), point))
    assert code == -signal.SIGKILL, errors
    after = [9, 9] if point == "named" else []
    assert seen(lake) == [1, 1, *after]

    commit(lake, 2, MONDAY - ONE_DAY)

    assert seen(lake) == [2, 2, 1, 1, *after]


@pytest.mark.parametrize("number", [2, 4])
def test_writers_at_once_leave_the_rows_of_one_after_the_other(lake: Lake, number: int) -> None:
    running = [started(lake, str(index), (MONDAY + index * ONE_DAY).isoformat(), "") for index in range(number)]
    assert [ended(process) for process in running] == [(0, "")] * number
    assert seen(lake) == [index for index in range(number) for _ in range(2)]
    assert num_named(lake) == number


def test_a_reader_keeps_its_rows_over_ten_commits(lake: Lake) -> None:
    commit(lake, 0)
    with lake.open(GROUP) as opened:
        for number in range(1, 11):
            commit(lake, number)
        assert values(opened) == [0, 0]
    assert seen(lake) == [10, 10]


def test_a_second_writer_is_told_who_writes(lake: Lake) -> None:
    busy = pytest.raises(LockBusyError, match=r"sources/s: (process|session) \d+ holds it")
    with change(lake, GROUP) as first:
        with busy, change(lake, GROUP, wait=timedelta(seconds=0.1)):
            pass
        put(first, BOTH_DAYS, 1)


def test_a_writer_whose_session_has_ended_names_nothing(tmp_path: Path, postgresql: Server) -> None:
    address = postgresql.make_database()
    migrate(address)
    lake = Lake(tmp_path / "data", address)
    commit(lake, 1, MONDAY)
    held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with pytest.raises(DatabaseError):
        commit(lake, 9, TUESDAY, at("written", lambda: postgresql.execute(held)))
    assert seen(lake) == [1, 1]
    commit(lake, 2, TUESDAY)
    assert seen(lake) == [1, 1, 2, 2]
