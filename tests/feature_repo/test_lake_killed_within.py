"""A writer that is killed within the write of a table, at the system calls by which the library makes files.

The kernel kills it when it enters the call, so that this one has not been made and all before it have. Calls are named
by what they are made on: the library makes them in threads, and each thread counts its own.
"""

import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from infra.lake import Lake
from tests.feature_repo.landed import lake_of
from tests.feature_repo.test_lake import GROUP, MONDAY, ONE_DAY, TABLES, TUESDAY, commit, seen, write_command
from tests.feature_repo.test_retention import age, files_in, needs_strace, of, parquet

pytestmark = needs_strace
# In order: a day's folder, the commit's file, the link that gives it its name, the end of the unfinished one's.
STEPS = {
    "mkdir": "{table}/lake_day=2013-02-05",
    "openat": "{table}/_delta_log/{version:020}.json#1",
    "linkat": "{table}/_delta_log/{version:020}.json",
    "unlink": "{table}/_delta_log/{version:020}.json#1",
}
SKIPPED = 3  # flushes to the disk change nothing that a process sees


def kill_at(lake: Lake, call: str, path: Path | None = None, *, when: int = 1, day: datetime = TUESDAY) -> int:
    """How the process ended that wrote 9 into the day."""
    kill = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"]
    on_path = ["-P", str(path)] if path else []
    command = ["strace", "-f", "-o", "/dev/null", *on_path, *kill, *write_command(lake.root, 9, day, "")]
    return subprocess.run(command, capture_output=True, check=False).returncode


def check_after_a_kill(lake: Lake, before: list[int]) -> list[int]:
    """Whatever is there is all of a change; then another interval is written, and the killed one's again."""
    found = seen(lake)
    assert found in (before, [*before, 9, 9])
    commit(lake, 2, MONDAY - ONE_DAY)
    assert seen(lake) == [2, 2, *found]
    commit(lake, 3, TUESDAY)
    assert seen(lake) == [2, 2, *before, 3, 3]
    return found


def made(folder: Path, *, first: bool) -> tuple[Lake, list[int]]:
    """A lake before its first change or with one, and what its readers see."""
    lake = lake_of(folder)
    if first:
        return lake, []
    commit(lake, 1)
    return lake, [1, 1]


@pytest.mark.parametrize("first", [True, False], ids=["first change", "later change"])
@pytest.mark.parametrize("table", [table.name for table in TABLES])
@pytest.mark.parametrize("call", STEPS)
def test_killed_at_a_call_that_makes_a_file_nothing_of_it_is_visible(
    tmp_path: Path, call: str, table: str, first: bool
) -> None:
    lake, before = made(tmp_path, first=first)
    path = lake.newest(GROUP).folder / STEPS[call].format(table=table, version=0 if first else 1)
    assert kill_at(lake, call, path) == -signal.SIGKILL
    assert check_after_a_kill(lake, before) == before


@pytest.mark.parametrize("first", [True, False], ids=["first change", "later change"])
def test_killed_at_a_rename_that_names_a_parquet_file_nothing_of_it_is_visible(tmp_path: Path, first: bool) -> None:
    """Until there is no such call any more. The second table's is the second one of its thread or another's first."""
    ended = -signal.SIGKILL
    number = 0
    while ended:
        number += 1
        lake, before = made(tmp_path / str(number), first=first)
        ended = kill_at(lake, "rename", when=number)
        assert ended in (0, -signal.SIGKILL)
        assert check_after_a_kill(lake, before) == ([*before, 9, 9] if ended == 0 else before)
    assert number > 1


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_killed_at_a_flush_to_the_disk_it_is_all_visible_or_nothing(tmp_path: Path, call: str) -> None:
    """Ours and the database's, all of one thread: from the first, in steps, until there is none any more."""
    found = []
    ended, number = -signal.SIGKILL, 1
    while ended:
        lake, before = made(tmp_path / str(number), first=False)
        ended = kill_at(lake, call, when=number)
        assert ended in (0, -signal.SIGKILL)
        found.append(check_after_a_kill(lake, before))
        number += SKIPPED
    assert found[0] == [1, 1]
    assert found[-1] == [1, 1, 9, 9]


def test_what_killed_ones_left_half_written_goes_with_the_next_prune(tmp_path: Path) -> None:
    lake, _ = made(tmp_path, first=False)
    folder = lake.newest(GROUP).folder
    assert kill_at(lake, "rename") == -signal.SIGKILL
    assert kill_at(lake, "linkat", folder / STEPS["linkat"].format(table="silver", version=1)) == -signal.SIGKILL
    unfinished = {path.suffix for path in files_in(folder) if "#" in path.name}
    assert unfinished == {".parquet#1", ".json#1"}
    assert parquet(lake) > of(lake.newest(GROUP))
    age(lake)
    commit(lake, 2)
    assert parquet(lake) == of(lake.newest(GROUP))
    assert not any("#" in path.name for path in files_in(folder))
    assert seen(lake) == [2, 2]
