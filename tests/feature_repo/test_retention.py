"""Old versions go, and nothing that somebody needs: on real tables, with real processes that read, write and die."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from feature_repo.contracts.base import DataInterval
from feature_repo.lake import change
from feature_repo.retention import KEPT_FOR, PRUNED_EVERY
from infra.database import LockBusyError, migrate, reading, writing
from infra.database.schema import lake_pins, lake_snapshots
from infra.lake import Lake, Snapshot
from infra.lake.snapshot import name_versions
from tests.feature_repo.landed import lake_of
from tests.feature_repo.test_lake import (
    GROUP,
    MONDAY,
    ONE_DAY,
    TABLES,
    TUESDAY,
    at,
    commit,
    fail,
    rows,
    seen,
    values,
    write_command,
)
from tests.postgresql import Server

DUE = KEPT_FOR + PRUNED_EVERY + timedelta(hours=1)
HOUR = timedelta(hours=1)
COLUMNS = lake_snapshots.c
STEPS = ["old_found", "old_forgotten", *(f"{table.name}_cleaned" for table in TABLES), "pruned"]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(tmp_path)


@pytest.fixture
def any_lake(tmp_path: Path, database: str) -> Lake:
    """One whose database is of either kind."""
    return Lake(tmp_path / "data", database)


def age(lake: Lake, by: timedelta = DUE) -> None:
    """As if that much more time had passed since each snapshot was named."""
    earlier = COLUMNS.named_at_wall - by // timedelta(microseconds=1)
    with writing(lake.database) as connection:
        connection.execute(update(lake_snapshots).values(named_at_wall=earlier))


def named(lake: Lake) -> list[int]:
    query = select(COLUMNS.sequence).where(COLUMNS.table_group == GROUP).order_by(COLUMNS.sequence)
    with reading(lake.database) as connection:
        return list(connection.execute(query).scalars())


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def parquet(lake: Lake) -> set[Path]:
    """Without the log and its checkpoints."""
    return {path for path in files_in(lake.newest(GROUP).folder) if "_delta_log" not in path.parts}


def of(snapshot: Snapshot) -> set[Path]:
    return {path for table in snapshot.versions for path in snapshot.files(table)}


def log_of(lake: Lake, table: str) -> list[int]:
    """The versions that Delta's log has commits of."""
    return sorted(int(path.stem) for path in (lake.newest(GROUP).folder / table / "_delta_log").glob("*.json"))


def locks(lake: Lake) -> list[str]:
    """The readers' lock files; a database that is a server has none."""
    return sorted(path.name for path in (lake.root / "locks").glob("reads*"))


def commit_one_table(lake: Lake, value: int, table: int = 0) -> None:
    with change(lake, GROUP) as changed:
        changed.replace(TABLES[table], rows(MONDAY, value=value), DataInterval(start=MONDAY, end=TUESDAY))


# What goes


def test_what_is_older_than_a_week_goes_with_its_files_its_row_its_lock_and_its_log(lake: Lake) -> None:
    for number in range(3):
        commit(lake, number)
        assert seen(lake) == [number, number]
    assert (len(locks(lake)), log_of(lake, "silver")) == (3, [0, 1, 2])
    age(lake)

    commit(lake, 3)

    assert seen(lake) == [3, 3]
    assert named(lake) == [4, 5], "the change's own and the one that names what the prune has left"
    assert parquet(lake) == of(lake.newest(GROUP))
    assert min(log_of(lake, "silver")) == min(log_of(lake, "views/v")) == 3
    assert locks(lake) == ["reads%2Fsources%2Fs%2F5.lock"]
    commit(lake, 4, TUESDAY)
    assert seen(lake) == [3, 3, 4, 4]


@pytest.mark.parametrize(("aged", "is_kept"), [(KEPT_FOR + PRUNED_EVERY - HOUR, True), (DUE, False)], ids=str)
def test_it_stays_for_a_week_and_at_most_a_day_longer(lake: Lake, aged: timedelta, is_kept: bool) -> None:
    commit(lake, 1)
    files = of(lake.newest(GROUP))
    age(lake, aged)
    commit(lake, 2)
    assert {path.exists() for path in files} == {is_kept}
    assert (1 in named(lake)) is is_kept


def test_a_snapshot_of_yesterday_stays_when_an_older_one_goes(lake: Lake) -> None:
    commit(lake, 1)
    age(lake)
    commit(lake, 2)
    age(lake, KEPT_FOR - HOUR)
    young = lake.newest(GROUP)
    commit(lake, 3)
    assert values(young) == [2, 2]


def test_a_group_is_pruned_alone(lake: Lake) -> None:
    commit(lake, 1)
    with change(lake, "sources/t") as changed:
        changed.replace(TABLES[0], rows(MONDAY, value=1), DataInterval(start=MONDAY, end=TUESDAY))
    age(lake)
    commit(lake, 2)
    other = lake.newest("sources/t")
    assert (other.sequence, other.read("silver")["value"].to_pylist()) == (1, [1])


def test_more_snapshots_than_a_server_has_sessions_go_at_once(tmp_path: Path, postgresql: Server) -> None:
    lake = Lake(tmp_path, postgresql.make_database())
    migrate(lake.database)
    commit_one_table(lake, 1)
    versions = lake.newest(GROUP).versions
    with writing(lake.database) as connection:
        for sequence in range(2, 150):
            name_versions(connection, GROUP, sequence, versions)
    age(lake)
    commit_one_table(lake, 2)
    assert named(lake) == [150, 151]


# What stays


def test_a_pinned_snapshot_stays_to_its_last_row_until_its_pin_goes(any_lake: Lake) -> None:
    commit(any_lake, 1)
    with any_lake.open(GROUP) as pinned:
        any_lake.pin(pinned, holder="training/1")
        files = of(pinned)
    for value in (2, 3):
        age(any_lake)
        commit(any_lake, value)
    assert values(Snapshot(pinned.folder, GROUP, pinned.sequence, pinned.versions)) == [1, 1]
    assert pinned.sequence in named(any_lake)

    with writing(any_lake.database) as connection:
        connection.execute(delete(lake_pins))
    age(any_lake)
    commit(any_lake, 4)

    assert pinned.sequence not in named(any_lake)
    assert not any(path.exists() for path in files)


def test_a_pin_that_is_made_while_a_prune_runs_keeps_its_snapshot(lake: Lake) -> None:
    commit(lake, 1)
    opened = lake.open(GROUP)
    pinned = opened.__enter__()

    def pin_and_close() -> None:
        lake.pin(pinned, holder="training/1")
        opened.__exit__(None, None, None)

    age(lake)
    commit(lake, 2, chaos=at("old_found", pin_and_close))
    assert pinned.sequence in named(lake)
    assert values(pinned) == [1, 1]


def test_a_snapshot_that_this_process_reads_stays_until_it_has_ended(any_lake: Lake) -> None:
    commit(any_lake, 1)
    with any_lake.open(GROUP) as opened:
        age(any_lake)
        commit(any_lake, 2)
        assert values(opened) == [1, 1]
        assert opened.sequence in named(any_lake)
    age(any_lake)
    commit(any_lake, 3)
    assert opened.sequence not in named(any_lake)
    assert not any(path.exists() for path in of(opened))


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_a_snapshot_that_another_process_reads_stays_until_it_has_ended(any_lake: Lake, killed: bool) -> None:
    commit(any_lake, 1)
    old = any_lake.newest(GROUP)
    with child("read_when_told", any_lake) as reader:
        told(reader, "open")
        for value in (2, 3):
            age(any_lake)
            commit(any_lake, value)
        if killed:
            reader.kill()
        else:
            tell(reader)
            told(reader, "[1, 1]")
        reader.wait(60)
    assert old.sequence in named(any_lake)
    age(any_lake)
    commit(any_lake, 4)
    assert old.sequence not in named(any_lake)


def read_when_told(lake: Lake) -> None:
    with lake.open(GROUP) as opened:
        say("open")
        sys.stdin.readline()
        say(values(opened))


def test_while_another_process_writes_nobody_prunes_its_files(any_lake: Lake) -> None:
    commit(any_lake, 1)
    age(any_lake)
    before = parquet(any_lake)
    with child("write_when_told", any_lake, "views/v_answered") as writer:
        told(writer, "views/v_answered")
        unfinished = parquet(any_lake) - before
        busy = pytest.raises(LockBusyError, match="sources/s")
        with busy, change(any_lake, GROUP, wait=timedelta(seconds=0.3)):
            pass
        assert len(unfinished) == 2
        assert parquet(any_lake) == before | unfinished
        tell(writer)
        assert writer.wait(60) == 0
    assert seen(any_lake) == [1, 1, 9, 9]
    assert parquet(any_lake) == of(any_lake.newest(GROUP))


def write_when_told(lake: Lake, point: str) -> None:
    def wait() -> None:
        say(point)
        sys.stdin.readline()

    commit(lake, 9, TUESDAY, at(point, wait))


# What a killed write has left


@pytest.mark.parametrize("point", ["silver_answered", "views/v_answered", "written"])
@pytest.mark.parametrize("table", [0, 1], ids=["first table changed next", "second table changed next"])
def test_rows_of_a_killed_write_stay_invisible_and_its_files_go(lake: Lake, point: str, table: int) -> None:
    commit(lake, 1)
    assert kill(lake, 9, point) == -signal.SIGKILL
    orphans = parquet(lake) - of(lake.newest(GROUP))
    assert orphans
    age(lake)

    commit_one_table(lake, 2, table)

    newest = lake.newest(GROUP)
    found = [newest.read(each.name)["value"].to_pylist() for each in TABLES]
    assert found == [[2], [1, 1]] if table == 0 else [[1, 1], [2]]
    assert not any(path.exists() for path in orphans)
    assert parquet(lake) == of(newest)
    commit(lake, 3, TUESDAY)
    assert lake.newest(GROUP).days("silver") == [MONDAY.date(), TUESDAY.date()]


def test_what_a_killed_write_left_of_a_file_goes_too(lake: Lake) -> None:
    """So the library calls what it has not written to the end; its own listing does not name it."""
    commit(lake, 1)
    folder = lake.newest(GROUP).folder / "silver"
    left = [folder / "lake_day=2013-02-04" / "part-1.zstd.parquet#1", folder / "_delta_log" / "9.json#2"]
    for path in left:
        path.touch()
    age(lake)
    commit(lake, 2)
    assert not any(path.exists() for path in left)


def test_what_an_error_left_goes_with_the_next_change(lake: Lake) -> None:
    """Though nothing is due: a change that is tried again and again leaves the files of one attempt."""
    commit(lake, 1)
    for point in ("silver_committed", "written"):
        with pytest.raises(ZeroDivisionError):
            commit(lake, 9, TUESDAY, at(point, fail))
    assert parquet(lake) > of(lake.newest(GROUP))
    with lake.open(GROUP) as before:
        commit(lake, 2)
        assert parquet(lake) == of(before) | of(lake.newest(GROUP))


def kill(lake: Lake, value: int, point: str) -> int:
    ended = subprocess.run(write_command(lake.root, value, TUESDAY, point), check=False, capture_output=True)
    return ended.returncode


# A prune that dies or fails


@pytest.mark.parametrize("step", STEPS)
def test_a_prune_that_is_killed_leaves_a_lake_that_reads_writes_and_prunes(lake: Lake, step: str) -> None:
    for value in (1, 2):
        commit(lake, value)
    age(lake)
    assert kill(lake, 9, step) == -signal.SIGKILL
    assert seen(lake) == [2, 2, 9, 9]
    commit(lake, 3, MONDAY)
    assert seen(lake) == [3, 3, 9, 9]
    age(lake)
    commit(lake, 4, MONDAY)
    assert seen(lake) == [4, 4, 9, 9]
    assert parquet(lake) == of(lake.newest(GROUP))
    assert len(named(lake)) == 2


def test_a_prune_that_fails_is_logged_and_the_change_is_visible(lake: Lake) -> None:
    commit(lake, 1)
    age(lake)
    shutil.rmtree(lake.newest(GROUP).folder / "views" / "v")
    with capture_logs() as logs:
        commit_one_table(lake, 2)
    assert lake.newest(GROUP).read("silver")["value"].to_pylist() == [2]
    (warning,) = [each for each in logs if each["event"] == "old_versions_stay"]
    assert (warning["log_level"], warning["group"]) == ("warning", GROUP)
    assert warning["reason"]


@needs_strace
def test_a_file_that_cannot_be_removed_keeps_no_change_from_being_visible(lake: Lake) -> None:
    commit(lake, 1)
    age(lake)
    (stuck,) = lake.newest(GROUP).files("silver")
    refuse = ["-f", "-o", "/dev/null", "-P", str(stuck), "-e", "trace=unlink,unlinkat"]
    inject = ["-e", "inject=unlink,unlinkat:error=EACCES"]
    ended = subprocess.run(
        ["strace", *refuse, *inject, *write_command(lake.root, 2, MONDAY, "")], check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"old_versions_stay" in ended.stdout + ended.stderr
    assert stuck.exists()
    assert seen(lake) == [2, 2]
    age(lake)
    commit(lake, 3)
    assert not stuck.exists()
    assert parquet(lake) == of(lake.newest(GROUP))


# What the database names is on the disk


@needs_strace
@pytest.mark.parametrize("left_by", ["killed write", "prune"])
def test_every_commit_below_a_named_version_is_on_the_disk_before_it_is_named(
    lake: Lake, left_by: str, tmp_path: Path
) -> None:
    commit(lake, 1)
    if left_by == "killed write":
        assert kill(lake, 9, "silver_answered") == -signal.SIGKILL
    else:
        age(lake)
    held = files_in(lake.newest(GROUP).folder / "silver" / "_delta_log")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync", *write_command(lake.root, 2, MONDAY, "")]
    subprocess.run(command, check=True)

    synced = {Path(path) for path in re.findall(r"fsync\(\d+<([^>]*)>", trace.read_text())}
    log = files_in(lake.newest(GROUP).folder / "silver" / "_delta_log")
    written = log - held if left_by == "prune" else {path for path in log if int(path.name[:20])}
    assert len(written) >= 2
    assert written <= synced
    assert of(lake.newest(GROUP)) <= synced


# A year


def daily_changes(lake: Lake, number: int) -> Iterator[int]:
    """One row more on each day, and yesterday's again, as a daily ingest with late rows does."""
    for day in range(number):
        start = MONDAY + day * ONE_DAY
        with change(lake, GROUP) as changed:
            both = rows(start - ONE_DAY, start, value=day)
            changed.replace(TABLES[0], both, DataInterval(start=start - ONE_DAY, end=start + ONE_DAY))
        yield day


def test_after_a_year_of_daily_changes_there_is_as_much_as_after_a_fortnight(lake: Lake) -> None:
    counts = {}
    for day in daily_changes(lake, 365):
        with lake.open(GROUP):
            age(lake, ONE_DAY)
        if day in (14, 364):
            beside = len(files_in(lake.newest(GROUP).folder)) - len(of(lake.newest(GROUP)))
            counts[day] = (beside, len(named(lake)), len(locks(lake)))
    assert lake.newest(GROUP).read("silver").num_rows == 366
    for fortnight, year in zip(counts[14], counts[364], strict=True):
        assert year <= fortnight * 1.5
    files, num_named, num_locks = counts[364]
    assert files < 200
    assert num_named < 25
    assert num_locks < 20


def test_without_pruning_every_change_leaves_its_own(lake: Lake) -> None:
    """The control of the year: the same days, that never grow old."""
    for _ in daily_changes(lake, 40):
        with lake.open(GROUP):
            pass
    beside = len(files_in(lake.newest(GROUP).folder)) - len(of(lake.newest(GROUP)))
    assert beside >= 40 + 39  # and the log's checkpoints
    assert (len(named(lake)), len(locks(lake))) == (40, 40)


# Processes that do what they are told


@contextmanager
def child(does: str, lake: Lake, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = (
        "import sys\nfrom pathlib import Path\nfrom infra.lake import Lake\n"
        "from tests.feature_repo import test_retention\n"
        "does, root, database, *arguments = sys.argv[1:]\n"
        "getattr(test_retention, does)(Lake(Path(root), database), *arguments)\n"
    )
    command = [sys.executable, "-c", program, does, str(lake.root), lake.database, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def say(what: object) -> None:
    print(what, flush=True)


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("on\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == line
