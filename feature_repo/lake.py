"""Changes to a group of lake tables: all of an interval becomes visible together, or nothing, whenever a process dies.

A writer holds its group's lock from before its first commit until the database has named the versions that it made;
readers see those and no others. What a writer that died had committed is ahead of the named versions: the next one
restores those first, because its own commits stand on whatever is newest. Each write carries its attempt's number as
Delta's app transaction, so that a commit whose answer was lost is found to have landed.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection, select

from feature_repo import retention
from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.base import DataInterval
from feature_repo.durable import make_durable
from feature_repo.errors import LakeWriteError
from infra.clock import to_microseconds
from infra.database import DatabaseError, locked
from infra.database.schema import database_identity
from infra.lake import DAY, DAY_OF_FILE, Lake, Snapshot, days_between
from infra.lake.snapshot import name_versions
from infra.logs import logger
from infra.quoting import sql_literal

log = logger(__name__)

WAIT = timedelta(minutes=2)  # for another writer of the group
TRIES = 5
MARKED_WITHIN = 20  # newest commits; another program's have no mark
WRITER = "flywheel"  # whose app transactions they are
# What each commit says of the database that was to name it, and of the snapshot that it was made on.
MARK_OF_DATABASE, MARK_OF_SEQUENCE = "flywheel.database", "flywheel.sequence"
ZSTD = WriterProperties(compression="ZSTD")
# Old versions and their log go by `retention` alone, which knows what still names them. To open a table, each commit
# after the newest checkpoint is read: sixty of them take longer than the files of ten years in a checkpoint.
CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 0 days",
    "delta.checkpointInterval": "10",
}
BOUNDED = "delta.dataSkippingStatsColumns"
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
ONE_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class IntervalTable:
    """A table whose rows belong to intervals by the time `interval_by`, and to days by `partitioned_by`, `lag` later.

    `bounds` are further columns whose smallest and largest value are kept for each file.
    """

    name: str
    partitioned_by: str
    interval_by: str
    lag: timedelta = timedelta(0)
    bounds: tuple[str, ...] = ()

    @property
    def bounded(self) -> str:
        return ",".join(dict.fromkeys((self.partitioned_by, self.interval_by, *self.bounds)))


class Change:
    """One writer's change of a group; `base` is what readers see meanwhile, `attempt` a number of no other change."""

    def __init__(self, base: Snapshot, database_id: str, attempt: int, chaos: Chaos) -> None:
        self.base, self.attempt, self.chaos = base, attempt, chaos
        self.marks = {MARK_OF_DATABASE: database_id, MARK_OF_SEQUENCE: str(base.sequence)}
        self.versions = dict(base.versions)
        self.replaced: dict[IntervalTable, tuple[pa.Table, DataInterval]] = {}
        self.named_with: list[Callable[[Connection], None]] = []
        self.met_orphan = False

    def when_named(self, record: Callable[[Connection], None]) -> None:
        """Have what belongs to the change recorded in the transaction in which it becomes visible."""
        self.named_with.append(record)

    def replace(self, table: IntervalTable, rows: pa.Table, interval: DataInterval) -> None:
        """Make `rows`, in order of both times, the table's rows of the interval; those of other intervals stay.

        They are written when the block of the change ends, so that nothing is if one of its tables is refused. Raises
        LakeWriteError if a column has another type than in the table.
        """
        assert table not in self.replaced, f"{table.name} is replaced twice in one change"
        check_types(self.base, table.name, rows)
        self.replaced[table] = rows, interval

    def write(self) -> None:
        """Raises LakeWriteError if a table cannot be written."""
        for table, (rows, interval) in self.replaced.items():
            days = days_to_write(self.base, table, interval)
            held = self.base.read(table.name, days=days_of_others(self.base, table, interval).intersection(days))
            if held.num_rows:
                rows = with_other_intervals(rows, held, table.interval_by, interval)
            # In one chunk: the library writes chunks side by side, in any order.
            rows = rows.append_column(DAY, pc.cast(rows[table.partitioned_by], pa.date32())).combine_chunks()
            self.versions[table.name] = self.commit(table, rows, days)
            named = self.base.versions.get(table.name, -1)
            make_durable(self.base.folder / table.name, named, self.versions[table.name])
            self.chaos(f"{table.name}_committed")

    def commit(self, table: IntervalTable, rows: pa.Table, days: Collection[date]) -> int:
        """The version that holds `rows` instead of those of the days.

        A lost race starts again from the base; a commit that landed although it failed is not made twice.
        """
        folder, failure = self.base.folder / table.name, None
        opened = self.base.hand_over(table.name) or open_newest(folder)
        for _ in range(TRIES):
            try:
                opened = self.overwrite(opened, table, rows, days)
            except (DeltaError, OSError) as error:
                failure, opened = error, open_newest(folder)
            if opened is not None and opened.transaction_version(WRITER) == self.attempt:
                return int(opened.version())
        assert failure is not None
        raise LakeWriteError(
            f"{folder}: {TRIES} commits failed, the last with: {one_line(failure)}; nothing became visible: see "
            "whether another program writes there and whether the disk has space, then run this again"
        ) from failure

    def overwrite(
        self, opened: DeltaTable | None, table: IntervalTable, rows: pa.Table, days: Collection[date]
    ) -> DeltaTable | None:
        """The table as it then is."""
        folder, named = self.base.folder / table.name, self.base.versions.get(table.name)
        target = self.at_base(opened, table.name)
        if target is not None:
            self.keep_bounds(target, table)
        self.chaos(f"{table.name}_opened")
        write_deltalake(
            folder if target is None else target,
            rows,
            mode="overwrite",
            partition_by=[DAY],
            predicate=None if named is None else f"{DAY} IN ({', '.join(map(sql_literal, map(str, days)))})",
            schema_mode="overwrite" if named is None else "merge",
            configuration=CONFIGURATION | {BOUNDED: table.bounded},
            writer_properties=ZSTD,
            commit_properties=self.properties([Transaction(WRITER, self.attempt)]),
            post_commithook_properties=HOOKS,
        )
        self.chaos(f"{table.name}_answered")
        return open_newest(folder) if target is None else target

    def at_base(self, opened: DeltaTable | None, table: str) -> DeltaTable | None:
        """Moved on to the newest version, with the rows of the base; None if there is no table yet.

        One that the base does not name has an orphan's rows, all of which the first write overwrites.
        """
        if opened is None:
            return None
        opened.update_incremental()
        named = self.base.versions.get(table)
        if opened.version() != named:
            self.met_orphan = True
            self.require_orphan(opened, self.base.folder / table)
        if named is not None and opened.version() != named:
            opened.restore(named, commit_properties=self.properties([]))
            self.chaos(f"{table}_restored")
        return opened

    def keep_bounds(self, opened: DeltaTable, table: IntervalTable) -> None:
        """Of other columns than so far, if they are declared by now; files of before are without them."""
        if opened.metadata().configuration.get(BOUNDED) != table.bounded:
            opened.alter.set_table_properties({BOUNDED: table.bounded}, commit_properties=self.properties([]))

    def require_orphan(self, found: DeltaTable, folder: Path) -> None:
        """Raises LakeWriteError if what is ahead is no killed writer's, but named by a database that knows more."""
        marked = next((entry for entry in found.history(MARKED_WITHIN) if MARK_OF_SEQUENCE in entry), self.marks)
        is_same = marked[MARK_OF_DATABASE] == self.marks[MARK_OF_DATABASE]
        if not is_same or int(marked[MARK_OF_SEQUENCE]) > self.base.sequence:
            raise LakeWriteError(
                f"{folder} belongs to a database that had named {marked[MARK_OF_SEQUENCE]} snapshots of "
                f"{self.base.group}, this one has named {self.base.sequence}; bring back the database of this lake"
            )

    def properties(self, transactions: list[Transaction]) -> CommitProperties:
        """Without the library's own retries: what another committed meanwhile must be restored first."""
        return CommitProperties(app_transactions=transactions, custom_metadata=self.marks, max_commit_retries=0)


@contextmanager
def change(lake: Lake, group: str, chaos: Chaos = no_chaos, *, wait: timedelta = WAIT) -> Iterator[Change]:
    """A change of the group's tables: visible when the block ends, never if it raises or its process dies.

    Waits for another writer of the group. Raises LockBusyError if that takes too long.
    """
    with locked(lake.database, f"lake/{group}", wait=wait) as transaction:
        with transaction() as connection:
            database_id = connection.execute(select(database_identity.c.database_id)).scalar_one()
        changed = Change(lake.newest(group), database_id, time.time_ns(), chaos)
        chaos("begun")
        yield changed
        changed.write()
        chaos("written")
        with transaction() as connection:
            name_versions(connection, group, changed.base.sequence + 1, changed.versions)
            for record in changed.named_with:
                record(connection)
        chaos("named")
        try:
            retention.prune(lake, group, transaction, changed.marks, chaos, now=changed.met_orphan)
        except (DatabaseError, DeltaError, OSError) as error:  # the change is visible all the same
            log.warning("old_versions_stay", group=group, reason=one_line(error))


def open_newest(folder: Path) -> DeltaTable | None:
    return DeltaTable(folder) if DeltaTable.is_deltatable(str(folder)) else None


def check_types(base: Snapshot, table: str, rows: pa.Table) -> None:
    """Raises LakeWriteError, before anything is written, if a column has another type than in the table."""
    named = base.table(table)
    held = {} if named is None else {field.name: field.type for field in pa.schema(named.schema().to_arrow())}
    for field in rows.schema:
        if held.get(field.name, field.type) != field.type:
            raise LakeWriteError(
                f"{base.group}/{table}: column {field.name} is {held[field.name]} there and {field.type} now; declare "
                "it as it was, or under another name"
            )


def days_to_write(base: Snapshot, table: IntervalTable, interval: DataInterval) -> list[date]:
    """Each day on which rows of the interval can lie, or do, written with another lag."""
    last = interval.end - ONE_MICROSECOND
    held = base.touching(table.name, table.interval_by, interval.start, last)
    return sorted({*days_between(interval.start + table.lag, last + table.lag), *held[DAY_OF_FILE].to_pylist()})


def days_of_others(base: Snapshot, table: IntervalTable, interval: DataInterval) -> set[date]:
    """Each day that may have rows of other intervals."""
    lowest, highest = base.bounds(table.name, table.interval_by)
    start, end = to_microseconds(interval.start), to_microseconds(interval.end)
    return {*base.added(table.name).filter(pa.array((lowest < start) | (highest >= end)))[DAY_OF_FILE].to_pylist()}


def with_other_intervals(own: pa.Table, held: pa.Table, column: str, interval: DataInterval) -> pa.Table:
    start, end = (pa.scalar(moment, held[column].type) for moment in (interval.start, interval.end))
    earlier, later = held.filter(pc.less(held[column], start)), held.filter(pc.greater_equal(held[column], end))
    return pa.concat_tables([earlier, own, later], promote_options="default")


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
