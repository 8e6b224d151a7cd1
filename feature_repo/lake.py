"""Changes to a group of lake tables: all of an interval becomes visible together, or nothing, whenever a process dies.

A writer holds its group's lock from before its first commit until the database has named the versions that it made;
readers see those and no others. What a writer that died had committed is ahead of the named versions: the next one
restores those first, because its own commits stand on whatever is newest. Each write carries its attempt's number as
Delta's app transaction, so that a commit whose answer was lost is found to have landed.
"""

import time
from collections.abc import Callable, Iterator
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
from infra.database import DatabaseError, locked
from infra.database.schema import database_identity
from infra.lake import DAY, Lake, Snapshot
from infra.lake.snapshot import name_versions
from infra.logs import logger

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

    def days_of(self, interval: DataInterval) -> tuple[date, date]:
        """The first and the last day on which rows of the interval can lie."""
        return (interval.start + self.lag).date(), (interval.end - ONE_MICROSECOND + self.lag).date()


class Change:
    """One writer's change of a group; `base` is what readers see meanwhile, `attempt` a number of no other change."""

    def __init__(self, base: Snapshot, database_id: str, attempt: int, chaos: Chaos) -> None:
        self.base, self.attempt, self.chaos = base, attempt, chaos
        self.marks = {MARK_OF_DATABASE: database_id, MARK_OF_SEQUENCE: str(base.sequence)}
        self.versions = dict(base.versions)
        self.named_with: list[Callable[[Connection], None]] = []

    def when_named(self, record: Callable[[Connection], None]) -> None:
        """Have what belongs to the change recorded in the transaction in which it becomes visible."""
        self.named_with.append(record)

    def replace(self, table: IntervalTable, rows: pa.Table, interval: DataInterval) -> None:
        """Make `rows`, in order of both times, the table's rows of the interval; those of other intervals stay.

        Raises LakeWriteError if the table cannot be written.
        """
        check_types(self.base, table.name, rows)
        first, last = table.days_of(interval)
        held = self.base.read(table.name, days={first, last})
        if held.num_rows:
            rows = with_other_intervals(rows, held, table.interval_by, interval)
        # In one chunk: the library writes chunks side by side, in any order.
        rows = rows.append_column(DAY, pc.cast(rows[table.partitioned_by], pa.date32())).combine_chunks()
        self.versions[table.name] = self.commit(table, rows, first, last)
        named = self.base.versions.get(table.name, -1)
        make_durable(self.base.folder / table.name, named, self.versions[table.name])
        self.chaos(f"{table.name}_committed")

    def commit(self, table: IntervalTable, rows: pa.Table, first: date, last: date) -> int:
        """The version that holds `rows` instead of those from the first to the last day.

        A lost race starts again from the base; a commit that landed although it failed is not made twice.
        """
        folder, failure = self.base.folder / table.name, None
        opened = self.base.hand_over(table.name) or open_newest(folder)
        for _ in range(TRIES):
            try:
                opened = self.overwrite(opened, table, rows, first, last)
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
        self, opened: DeltaTable | None, table: IntervalTable, rows: pa.Table, first: date, last: date
    ) -> DeltaTable | None:
        """The table as it then is."""
        folder, named = self.base.folder / table.name, self.base.versions.get(table.name)
        target = self.at_base(opened, table.name)
        bounds = ",".join(dict.fromkeys((table.partitioned_by, table.interval_by, *table.bounds)))
        self.chaos(f"{table.name}_opened")
        write_deltalake(
            folder if target is None else target,
            rows,
            mode="overwrite",
            partition_by=[DAY],
            predicate=None if named is None else f"{DAY} >= '{first}' AND {DAY} <= '{last}'",
            schema_mode="overwrite" if named is None else "merge",
            configuration=CONFIGURATION | {"delta.dataSkippingStatsColumns": bounds},
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
            self.require_orphan(opened, self.base.folder / table)
        if named is not None and opened.version() != named:
            opened.restore(named, commit_properties=self.properties([]))
            self.chaos(f"{table}_restored")
        return opened

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
        chaos("written")
        with transaction() as connection:
            name_versions(connection, group, changed.base.sequence + 1, changed.versions)
            for record in changed.named_with:
                record(connection)
        chaos("named")
        try:
            retention.prune(lake, group, transaction, changed.marks, chaos)
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


def with_other_intervals(own: pa.Table, held: pa.Table, column: str, interval: DataInterval) -> pa.Table:
    start, end = (pa.scalar(moment, held[column].type) for moment in (interval.start, interval.end))
    earlier, later = held.filter(pc.less(held[column], start)), held.filter(pc.greater_equal(held[column], end))
    return pa.concat_tables([earlier, own, later], promote_options="default").select(own.column_names)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
