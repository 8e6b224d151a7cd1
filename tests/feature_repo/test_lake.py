import shutil
from datetime import date
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.chaos import no_chaos
from feature_repo.contracts import lake as paths
from feature_repo.errors import LakeBusyError, LakeCopyError
from feature_repo.lake import Transaction, partition, partitions, snapshot, transaction
from tests.feature_repo.landed import digests

MONDAY, TUESDAY = date(2013, 2, 4), date(2013, 2, 5)


def rows(*values: int) -> pa.Table:
    return pa.table({"value": pa.array(values, pa.int64())})


def tables(data_dir: Path) -> list[Path]:
    return [paths.silver(data_dir, "s"), paths.quarantine(data_dir, "s")]


def commit(data_dir: Path, **values_by_day: tuple[int, ...]) -> None:
    days = {"monday": MONDAY, "tuesday": TUESDAY}
    with transaction(data_dir, "s", tables(data_dir)) as change:
        for name, values in values_by_day.items():
            change.write(tables(data_dir)[0], days[name], rows(*values))


def values(table: Path) -> list[int]:
    """Raises FileNotFoundError if the version read was removed meanwhile."""
    files = partitions(table)
    if not files:
        raise FileNotFoundError(table)
    return [value for path in files for value in pq.read_table(path, partitioning=None)["value"].to_pylist()]


def test_a_day_that_was_not_written_stays_as_it_was(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,), tuesday=(2,))
    commit(tmp_path, tuesday=(3,))
    assert values(paths.silver(tmp_path, "s")) == [1, 3]


def test_a_day_written_without_rows_is_gone(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,), tuesday=(2,))
    commit(tmp_path, monday=())
    assert values(paths.silver(tmp_path, "s")) == [2]


def test_the_contract_s_paths_lead_to_the_newest_version(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,))
    commit(tmp_path, monday=(2,))
    path = partition(paths.silver(tmp_path, "s"), MONDAY)
    assert path == tmp_path / "lake" / "silver" / "s" / "day=2013-02-04" / "part.parquet"
    assert pq.read_table(path, partitioning=None)["value"].to_pylist() == [2]


def test_a_data_folder_that_was_moved_still_works(tmp_path: Path) -> None:
    commit(tmp_path / "here", monday=(1,))
    (tmp_path / "here").rename(tmp_path / "there")
    assert values(paths.silver(tmp_path / "there", "s")) == [1]


def fail_halfway(data_dir: Path) -> None:
    with transaction(data_dir, "s", tables(data_dir)) as change:
        change.write(tables(data_dir)[0], MONDAY, rows(9))
        change.write(tables(data_dir)[0], TUESDAY, rows(1 // 0))


def test_an_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ZeroDivisionError):
        fail_halfway(tmp_path)
    assert values(paths.silver(tmp_path, "s")) == [1]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reader_s_snapshot_holds_the_same_bytes_through_the_next_commit(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,), tuesday=(2,))
    seen = snapshot(paths.silver(tmp_path, "s"))
    before = digests(seen)
    commit(tmp_path, monday=(3,), tuesday=(4,))
    assert digests(seen) == before
    assert values(paths.silver(tmp_path, "s")) == [3, 4]


def test_a_reader_sees_the_version_before_or_after_never_between(tmp_path: Path) -> None:
    silver = paths.silver(tmp_path, "s")
    commit(tmp_path, monday=(0,), tuesday=(0,))
    seen: list[list[int]] = []
    started = Barrier(2)

    def read_on() -> None:
        started.wait()
        while not seen or seen[-1][0] < 60:
            try:
                seen.append(values(silver))
            except FileNotFoundError:  # two commits passed during one read; no interval's ingest is that quick
                continue

    reader = Thread(target=read_on)
    reader.start()
    started.wait()
    for number in range(1, 61):
        commit(tmp_path, monday=(number,), tuesday=(number,))
    reader.join()
    assert all(monday == tuesday for monday, tuesday in seen)
    assert len({monday for monday, _ in seen}) > 3


def test_old_versions_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(5):
        commit(tmp_path, monday=(number,))
    versions = sorted(path.name for path in (tmp_path / "lake" / ".versions" / "s").glob("[0-9]*"))
    assert versions == ["000004", "000005"]


def test_an_unchanged_day_takes_no_space_twice(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,), tuesday=(2,))
    before = partition(snapshot(paths.silver(tmp_path, "s")), MONDAY)
    commit(tmp_path, tuesday=(3,))
    after = partition(snapshot(paths.silver(tmp_path, "s")), MONDAY)
    assert before != after
    assert before.samefile(after)


def test_a_second_writer_is_kept_out_and_told_who_is_writing(tmp_path: Path) -> None:
    with transaction(tmp_path, "s", tables(tmp_path)) as first:
        with pytest.raises(LakeBusyError, match=r"s: process \d+ is changing these tables; run this again when"):
            commit(tmp_path, tuesday=(2,))
        first.write(tables(tmp_path)[0], MONDAY, rows(1))
    commit(tmp_path, tuesday=(2,))
    assert values(paths.silver(tmp_path, "s")) == [1, 2]


def test_without_the_lock_the_second_writer_would_destroy_the_first_s_work(tmp_path: Path) -> None:
    """The control of the test above: the same two changes, with nobody kept out."""
    lake_dir, group = tmp_path / "lake", tables(tmp_path)
    commit(tmp_path, monday=(0,))
    first = Transaction(lake_dir, "s", group, no_chaos)
    second = Transaction(lake_dir, "s", group, no_chaos)
    first.write(group[0], MONDAY, rows(1))
    second.write(group[0], TUESDAY, rows(2))
    first.commit()
    assert values(group[0]) == [1, 2], "a row of a change that never committed is there for all to read"


def test_another_group_is_not_kept_waiting(tmp_path: Path) -> None:
    other = [paths.silver(tmp_path, "t")]
    with transaction(tmp_path, "s", tables(tmp_path)), transaction(tmp_path, "t", other) as change:
        change.write(other[0], MONDAY, rows(1))
    assert values(other[0]) == [1]


def test_a_copy_that_followed_the_links_can_be_read_and_is_not_written_to(tmp_path: Path) -> None:
    commit(tmp_path / "original", monday=(1,))
    commit(tmp_path / "original", tuesday=(2,))
    copy = Path(shutil.copytree(tmp_path / "original", tmp_path / "copy"))
    files = {str(path.relative_to(copy)) for path in copy.rglob("*")}

    with pytest.raises(LakeCopyError, match="copy it again with `cp -a`"):
        commit(copy, monday=(3,))

    assert {str(path.relative_to(copy)) for path in copy.rglob("*")} == files
    assert values(paths.silver(copy, "s")) == [1, 2]


def test_a_lake_that_has_lost_its_link_loses_nothing_more(tmp_path: Path) -> None:
    commit(tmp_path, monday=(1,))
    commit(tmp_path, tuesday=(2,))
    current = tmp_path / "lake" / ".versions" / "s" / "current"
    target = current.readlink()
    current.unlink()

    with pytest.raises(LakeCopyError, match="current is no link any more"):
        commit(tmp_path, monday=(3,))

    current.symlink_to(target)
    assert values(paths.silver(tmp_path, "s")) == [1, 2]
