"""What a change of several tables is to those who read them, whatever befalls it; each defence has a control."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.base import DataInterval
from feature_repo.errors import LakeWriteError
from feature_repo.lake import Change, IntervalTable, change
from infra.database import LockBusyError
from infra.lake import DAY, DAY_OF_FILE, Lake, LakeError, Snapshot, days_between
from tests.feature_repo.landed import lake_of, snapshot

GROUP = "sources/s"
MONDAY, TUESDAY = datetime(2013, 2, 4, tzinfo=UTC), datetime(2013, 2, 5, tzinfo=UTC)
ONE_DAY, NOON = timedelta(days=1), timedelta(hours=12)
BOTH_DAYS = DataInterval(start=MONDAY, end=MONDAY + 2 * ONE_DAY)
TABLES = tuple(IntervalTable(name=name, partitioned_by="at", interval_by="at") for name in ("silver", "views/v"))
POINTS = [
    f"{table.name}_{step}" for table in TABLES for step in ("opened", "answered", "committed")
] + ["begun", "written"]  # fmt: skip


def rows(*hours: datetime, value: int) -> pa.Table:
    return pa.table(
        {"at": pa.array(hours, pa.timestamp("us", "UTC")), "value": pa.array([value] * len(hours), pa.int64())}
    )


def put(changed: Change, interval: DataInterval, value: int) -> None:
    """Into each table, at the interval's first instant and at noon of each of its days."""
    days = [interval.start + number * ONE_DAY for number in range(-(-(interval.end - interval.start) // ONE_DAY))]
    for table in TABLES:
        changed.replace(table, rows(*(moment for day in days for moment in (day, day + NOON)), value=value), interval)


def commit(lake: Lake, value: int, day: datetime = MONDAY, chaos: Chaos = no_chaos) -> None:
    interval = DataInterval(start=day, end=day + ONE_DAY)
    with change(lake, GROUP, chaos) as changed:
        put(changed, interval, value)


def values(opened: Snapshot) -> list[int]:
    """By row of the first table; the second one has the same."""
    first, second = (opened.read(table.name)["value"].to_pylist() for table in TABLES)
    assert first == second
    return list(first)


def seen(lake: Lake) -> list[int]:
    with lake.open(GROUP) as opened:
        return values(opened) if opened.versions else []


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(tmp_path)


# What a change is


def test_a_day_that_was_not_written_stays_as_it_was(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    commit(lake, 2, TUESDAY)
    commit(lake, 3, TUESDAY)
    assert seen(lake) == [1, 1, 3, 3]


def test_an_interval_without_rows_is_gone_and_those_of_its_day_stay(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    with change(lake, GROUP) as changed:
        for table in TABLES:
            changed.replace(table, rows(value=0), DataInterval(start=MONDAY + NOON, end=TUESDAY))
    assert seen(lake) == [1]


def test_rows_of_other_intervals_of_the_first_and_the_last_day_stay_in_order(lake: Lake) -> None:
    with change(lake, GROUP) as changed:
        put(changed, BOTH_DAYS, 1)
    middle = DataInterval(start=MONDAY + NOON, end=TUESDAY + NOON)
    with change(lake, GROUP) as changed:
        for table in TABLES:
            changed.replace(table, rows(MONDAY + NOON, TUESDAY, value=2), middle)
    assert seen(lake) == [1, 2, 2, 1]


def test_many_rows_of_many_days_keep_their_order(lake: Lake) -> None:
    """The library writes what comes in several chunks in any order: ours are one."""
    start, number = MONDAY, 300_000
    interval = DataInterval(start=start, end=start + number * timedelta(seconds=10))
    at = pa.array([start + index * timedelta(seconds=10) for index in range(number)], pa.timestamp("us", "UTC"))
    whole = pa.table({"at": at, "value": pa.array(range(number))})
    parts = pa.concat_tables([whole.slice(begin, 1000) for begin in range(0, number, 1000)])
    for _ in range(2):
        with change(lake, GROUP) as changed:
            changed.replace(TABLES[0], parts, interval)
        assert snapshot(lake.root, GROUP).read("silver").equals(whole)


def test_a_column_that_came_later_is_absent_from_the_days_before(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    wider = rows(TUESDAY, value=2).append_column("new", pa.array(["x"]))
    with change(lake, GROUP) as changed:
        changed.replace(TABLES[0], wider, DataInterval(start=TUESDAY, end=TUESDAY + ONE_DAY))
    assert snapshot(lake.root, GROUP).read("silver")["new"].to_pylist() == [None, None, "x"]


def test_a_column_of_another_type_is_refused_with_a_sentence_and_nothing_changed(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    other = rows(MONDAY, value=2).set_column(1, "value", pa.array(["two"]))
    refused = pytest.raises(LakeWriteError, match=r"s/silver: column value is int64 there and string now")
    with refused, change(lake, GROUP) as changed:
        changed.replace(TABLES[0], other, DataInterval(start=MONDAY, end=TUESDAY))
    assert seen(lake) == [1, 1]


def test_files_carry_the_bounds_of_what_they_are_found_by(lake: Lake) -> None:
    table = IntervalTable(name="silver", partitioned_by="at", interval_by="at", bounds=("value",))
    with change(lake, GROUP) as changed:
        changed.replace(table, rows(MONDAY, value=7), DataInterval(start=MONDAY, end=TUESDAY))
    added = snapshot(lake.root, GROUP).added("silver")
    assert added["min.value"].to_pylist() == added["max.value"].to_pylist() == [7]


@pytest.mark.parametrize("lag", [timedelta(0), timedelta(hours=30)])
def test_rows_that_were_written_with_another_lag_are_replaced_too(lake: Lake, lag: timedelta) -> None:
    """They lie on other days than they would now; rows of other intervals on those days stay."""
    log = IntervalTable(name="silver", partitioned_by="available_at", interval_by="at", lag=timedelta(hours=18))
    now = replace(log, lag=lag)

    def write(table: IntervalTable, interval: DataInterval, value: int) -> None:
        days = days_between(interval.start, interval.end - NOON)
        instants = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for day in days for hour in (0, 12)]
        written = rows(*instants, value=value)
        written = written.append_column("available_at", pc.add(written["at"], pa.scalar(table.lag)))
        with change(lake, GROUP) as changed:
            changed.replace(table, written, interval)

    three_days = DataInterval(start=MONDAY - ONE_DAY, end=MONDAY + 2 * ONE_DAY)
    write(log, three_days, 1)
    write(now, DataInterval(start=MONDAY, end=TUESDAY), 2)
    found = snapshot(lake.root, GROUP).read("silver").sort_by("at")
    assert found["value"].to_pylist() == [1, 1, 2, 2, 1, 1]
    write(now, three_days, 3)
    assert snapshot(lake.root, GROUP).read("silver").sort_by("at")["value"].to_pylist() == [3] * 6


def test_a_column_that_is_no_longer_written_stays_for_the_other_intervals_of_the_day(lake: Lake) -> None:
    wider = rows(MONDAY, MONDAY + NOON, value=1).append_column("old", pa.array(["x", "y"]))
    with change(lake, GROUP) as changed:
        changed.replace(TABLES[0], wider, DataInterval(start=MONDAY, end=TUESDAY))
    with change(lake, GROUP) as changed:
        changed.replace(TABLES[0], rows(MONDAY, value=2), DataInterval(start=MONDAY, end=MONDAY + NOON))
    found = snapshot(lake.root, GROUP).read("silver")
    assert (found["value"].to_pylist(), found["old"].to_pylist()) == ([2, 1], [None, "y"])


def test_another_column_that_files_are_found_by_is_kept_from_then_on(lake: Lake) -> None:
    """A file of before does not say, so it may hold any time."""
    timed = rows(MONDAY, value=1).append_column("known", pa.array([TUESDAY], pa.timestamp("us", "UTC")))
    for day, bounds in ((MONDAY, ()), (TUESDAY, ("known",))):
        with change(lake, GROUP) as changed:
            shifted = timed.set_column(0, "at", pa.array([day], timed["at"].type))
            table = IntervalTable(name="silver", partitioned_by="at", interval_by="at", bounds=bounds)
            changed.replace(table, shifted, DataInterval(start=day, end=day + ONE_DAY))
    held = snapshot(lake.root, GROUP)
    days = [day.date() for day in (MONDAY, TUESDAY)]
    assert held.touching("silver", "known", TUESDAY, TUESDAY)[DAY_OF_FILE].to_pylist() == days
    later = TUESDAY + ONE_DAY
    assert held.touching("silver", "known", later, later)[DAY_OF_FILE].to_pylist() == days[:1]


def test_a_change_with_one_table_that_is_refused_writes_none(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    interval, other = DataInterval(start=MONDAY, end=TUESDAY), rows(MONDAY, value=2)
    refused = pytest.raises(LakeWriteError)
    with refused, change(lake, GROUP) as changed:
        changed.replace(TABLES[0], other, interval)
        changed.replace(TABLES[1], other.set_column(1, "value", pa.array(["two"])), interval)
    assert DeltaTable(lake.newest(GROUP).folder / "silver").version() == 0


def test_a_lake_of_a_folder_that_was_moved_is_read_and_written(tmp_path: Path) -> None:
    commit(lake_of(tmp_path / "here"), 1)
    (tmp_path / "here").rename(tmp_path / "there")
    commit(lake_of(tmp_path / "there"), 2, TUESDAY)
    assert seen(lake_of(tmp_path / "there")) == [1, 1, 2, 2]


@pytest.mark.parametrize("name", ["[a]", "a|b", "100%41", "a^b"])
def test_a_folder_that_the_library_misreads_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"no lake can lie in a folder with .* in its path"):
        Lake(tmp_path / name, "sqlite:///x")


# What readers see


def test_a_reader_keeps_its_rows_over_ten_commits(lake: Lake) -> None:
    commit(lake, 0)
    with lake.open(GROUP) as opened:
        for number in range(1, 11):
            commit(lake, number)
        assert values(opened) == [0, 0]
    assert seen(lake) == [10, 10]


def test_what_a_change_began_from_stays_as_it_was_while_its_tables_are_written(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    found: list[list[int]] = []
    look = at("views/v_committed", lambda: found.append(values(changed.base)))
    with change(lake, GROUP, look) as changed:
        put(changed, BOTH_DAYS, 2)
    assert found == [[1, 1]]
    assert seen(lake) == [2, 2, 2, 2]


def test_a_reader_sees_the_change_before_or_after_never_between(lake: Lake) -> None:
    commit(lake, 0)
    found: list[list[int]] = []
    started = Barrier(2)

    def read_on() -> None:
        started.wait()
        while not found or found[-1][0] < 40:
            found.append(seen(lake))

    reader = Thread(target=read_on)
    reader.start()
    started.wait()
    for number in range(1, 41):
        commit(lake, number)
    reader.join()
    assert all(len({*each}) == 1 for each in found)
    assert len({each[0] for each in found}) > 3


def test_an_error_leaves_what_readers_see_and_the_next_change_does_not_publish_its_half(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    with pytest.raises(ZeroDivisionError):
        commit(lake, 9, TUESDAY, at("silver_committed", fail))
    assert seen(lake) == [1, 1]
    commit(lake, 2, MONDAY)
    assert seen(lake) == [2, 2]


def test_a_table_is_opened_by_its_checkpoint_and_ten_commits_at_most(lake: Lake) -> None:
    for number in range(12):
        commit(lake, number)
    log = lake.newest(GROUP).folder / "silver" / "_delta_log"
    for version in range(9):
        (log / f"{version:020}.json").unlink()
    assert seen(lake) == [11, 11]


# Killed


def write_command(root: Path, value: int, day: datetime, point: str) -> list[str]:
    program = (
        "import sys; from datetime import datetime; from pathlib import Path\n"
        "from feature_repo.chaos import die_at\n"
        "from tests.feature_repo.test_lake import commit, lake_of\n"
        "root, value, day, point = sys.argv[1:]\n"
        "commit(lake_of(Path(root)), int(value), datetime.fromisoformat(day), die_at(point))\n"
    )
    return [sys.executable, "-c", program, str(root), str(value), day.isoformat(), point]


@pytest.mark.parametrize("first", [True, False], ids=["first change", "later change"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_nothing_is_visible_then_or_after_another_interval(
    lake: Lake, point: str, first: bool
) -> None:
    before = [] if first else [1, 1]
    if not first:
        commit(lake, 1, MONDAY)
    ended = subprocess.run(write_command(lake.root, 9, TUESDAY, point), check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert seen(lake) == before

    commit(lake, 2, MONDAY - ONE_DAY)

    assert seen(lake) == [2, 2, *before]


def test_killed_after_the_naming_all_of_it_is_visible(lake: Lake) -> None:
    ended = subprocess.run(write_command(lake.root, 9, TUESDAY, "named"), check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert seen(lake) == [9, 9]


def test_killed_while_it_restores_the_next_one_restores(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    for value, point in ((8, "silver_committed"), (9, "silver_restored")):
        ended = subprocess.run(write_command(lake.root, value, TUESDAY, point), check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    commit(lake, 2, MONDAY - ONE_DAY)
    assert seen(lake) == [2, 2, 1, 1]


# Lost answers and lost races


def at(chosen: str, act: Callable[[], object], *, times: int = 1) -> Chaos:
    """Do `act` the first times that the point is reached."""
    left = [times]

    def strike(point: str) -> None:
        if point == chosen and left[0]:
            left[0] -= 1
            act()

    return strike


def fail() -> None:
    raise ZeroDivisionError


def lose_the_answer() -> None:
    raise CommitFailedError("the answer did not come")


def test_a_commit_whose_answer_was_lost_is_not_made_twice(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    commit(lake, 2, TUESDAY, at("silver_answered", lose_the_answer))
    assert seen(lake) == [1, 1, 2, 2]
    assert snapshot(lake.root, GROUP).versions == {"silver": 1, "views/v": 1}


def test_a_commit_that_did_not_land_is_made_again(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    commit(lake, 2, TUESDAY, at("silver_opened", lose_the_answer))
    assert seen(lake) == [1, 1, 2, 2]


def test_an_attempt_before_is_not_taken_for_this_one(lake: Lake) -> None:
    """The killed one's commit landed with its own number; this one's never does before it was made."""
    commit(lake, 1, MONDAY)
    subprocess.run(write_command(lake.root, 9, TUESDAY, "silver_committed"), check=False, capture_output=True)
    commit(lake, 2, TUESDAY, at("silver_opened", lose_the_answer))
    assert seen(lake) == [1, 1, 2, 2]


@pytest.mark.parametrize("day", [MONDAY, MONDAY - ONE_DAY], ids=["the same day", "another day"])
def test_a_race_lost_to_another_program_is_run_again_from_the_named_version(lake: Lake, day: datetime) -> None:
    commit(lake, 1, MONDAY)

    def write_beside() -> None:
        beside = rows(day, value=7).append_column(DAY, pa.array([day.date()]))
        write_deltalake(lake.newest(GROUP).folder / "silver", beside, mode="append")

    commit(lake, 2, MONDAY, at("silver_opened", write_beside))
    assert seen(lake) == [2, 2]


def test_races_that_are_always_lost_end_with_a_sentence_and_nothing_changed(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    with pytest.raises(LakeWriteError, match=r"silver: 5 commits failed, the last with: the answer did not come"):
        commit(lake, 2, MONDAY, at("silver_opened", lose_the_answer, times=9))
    assert seen(lake) == [1, 1]


# Beside others


def test_a_second_writer_waits_and_after_its_deadline_is_told_who_writes(lake: Lake) -> None:
    with change(lake, GROUP) as first:
        busy = pytest.raises(LockBusyError, match=r"sources/s: process \d+ holds it")
        with busy, change(lake, GROUP, wait=timedelta(seconds=0.1)):
            pass
        put(first, BOTH_DAYS, 1)
    commit(lake, 2, TUESDAY)
    assert seen(lake) == [1, 1, 2, 2]


@pytest.mark.parametrize("number", [2, 4])
def test_writers_at_once_leave_the_rows_of_one_after_the_other(lake: Lake, number: int) -> None:
    days = [MONDAY + index * ONE_DAY for index in range(number)]
    running = [
        subprocess.Popen(write_command(lake.root, index, day, ""), stderr=subprocess.PIPE, text=True)
        for index, day in enumerate(days)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * number, ended
    assert seen(lake) == [index for index in range(number) for _ in range(2)]


def test_without_the_lock_the_second_writer_undoes_what_the_first_has_committed(lake: Lake) -> None:
    """The control of the tests above: the same two changes, with nobody kept out."""
    commit(lake, 0, MONDAY)
    base = snapshot(lake.root, GROUP)
    first, second = Change(base, "", 101, no_chaos), Change(base, "", 102, no_chaos)
    put(first, DataInterval(start=MONDAY, end=TUESDAY), 1)
    put(second, DataInterval(start=TUESDAY, end=TUESDAY + ONE_DAY), 2)
    first.write()
    second.write()
    newest = Snapshot(
        base.folder, GROUP, 9, {table: DeltaTable(base.folder / table).version() for table in base.versions}
    )
    assert values(newest) == [0, 0, 2, 2], "the first one's rows are nowhere"


def test_another_group_is_not_kept_waiting(lake: Lake) -> None:
    with change(lake, GROUP), change(lake, "sources/t", wait=timedelta(0)) as other:
        other.replace(TABLES[0], rows(MONDAY, value=1), DataInterval(start=MONDAY, end=TUESDAY))
    assert snapshot(lake.root, "sources/t").days("silver") == [date(2013, 2, 4)]


# A folder and a database of different copies


def test_tables_that_are_older_than_the_database_are_named_and_left_alone(lake: Lake, tmp_path: Path) -> None:
    commit(lake, 1, MONDAY)
    shutil.copytree(lake.newest(GROUP).folder, tmp_path / "older")
    commit(lake, 2, MONDAY)
    shutil.rmtree(lake.newest(GROUP).folder)
    shutil.copytree(tmp_path / "older", lake.newest(GROUP).folder)
    with pytest.raises(LakeError, match=r"names version 1, which is not there; .*different copies"):
        commit(lake, 3, MONDAY)


def test_a_database_made_anew_beside_a_lake_overwrites_nothing(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    Path(lake.root / "control.db").unlink()
    ended = subprocess.run(write_command(lake.root, 2, TUESDAY, ""), check=False, capture_output=True, text=True)
    assert "LakeWriteError" in ended.stderr
    assert (
        "belongs to a database that had named 0 snapshots of sources/s, this one has named 0; bring back"
        in ended.stderr
    )
    assert DeltaTable(lake.newest(GROUP).folder / "silver").version() == 0


def test_a_database_from_before_some_changes_undoes_none_of_them(lake: Lake) -> None:
    commit(lake, 1, MONDAY)
    shutil.copy(lake.root / "control.db", lake.root / "older.db")
    for number in range(3):
        commit(lake, number, TUESDAY)
    (lake.root / "older.db").replace(lake.root / "control.db")
    with pytest.raises(LakeWriteError, match=r"had named 3 snapshots of sources/s, this one has named 1; bring back"):
        commit(lake, 9, TUESDAY)
    assert DeltaTable(lake.newest(GROUP).folder / "silver").version() == 3
