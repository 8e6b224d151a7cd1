"""What becomes of old versions of the lake: they stay for a week, or while something names them, then they go.

A snapshot stays while it is the newest, younger than `KEPT_FOR`, pinned by something kept that was made of it, or read
by a running process. It is looked at after each change of a group, by the writer, which has the group to itself: so no
file of an unfinished write is taken for a forgotten one.
"""

import json
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable
from sqlalchemy import Connection, delete, func, insert, select

from infra.clock import SystemClock, to_microseconds
from infra.database import LockBusyError, locked
from infra.database.engine import Transaction
from infra.database.schema import lake_pins, lake_snapshots
from infra.lake import Lake
from infra.lake.snapshot import reader_lock

KEPT_FOR = timedelta(days=7)
PRUNED_EVERY = timedelta(days=1)  # to look for a table's forgotten files is to list all of its folder


def prune(lake: Lake, group: str, transaction: Transaction) -> int:
    """Forget the group's snapshots that nothing needs and remove what only they needed; how many those were.

    The caller holds the group's lock and has named its versions. What is still read is left to a later change.
    """
    now = SystemClock().now()
    with transaction() as connection:
        due = expired(connection, group, named_before=to_microseconds(now - KEPT_FOR))
    if not any(named_at <= to_microseconds(now - KEPT_FOR - PRUNED_EVERY) for named_at in due.values()):
        return 0
    with ExitStack() as stack:
        unread = [sequence for sequence in due if is_unread(stack, lake, group, sequence)]
        with transaction() as connection:
            chosen = lake_snapshots.c.sequence.in_(unread)
            connection.execute(delete(lake_snapshots).where(lake_snapshots.c.table_group == group, chosen))
    if unread:
        remove_unnamed_files(lake.folder(group), group, transaction)
    return len(unread)


def expired(connection: Connection, group: str, *, named_before: int) -> dict[int, int]:
    """When each snapshot that is neither the newest nor pinned was named, by its sequence."""
    mine = lake_snapshots.c.table_group == group
    newest = select(func.max(lake_snapshots.c.sequence)).where(mine).scalar_subquery()
    pinned = select(lake_pins.c.sequence).where(lake_pins.c.table_group == group)
    rows = connection.execute(
        select(lake_snapshots.c.sequence, lake_snapshots.c.named_at_wall).where(
            mine,
            lake_snapshots.c.named_at_wall < named_before,
            lake_snapshots.c.sequence != newest,
            lake_snapshots.c.sequence.not_in(pinned),
        )
    )
    return {row.sequence: row.named_at_wall for row in rows}


def is_unread(stack: ExitStack, lake: Lake, group: str, sequence: int) -> bool:
    """Whether no process reads it; then none begins to until the stack is closed."""
    try:
        stack.enter_context(locked(lake.database, reader_lock(group, sequence), once=True))
    except LockBusyError:
        return False
    return True


def remove_unnamed_files(folder: Path, group: str, transaction: Transaction) -> None:
    """Vacuum the group's tables but for the versions that snapshots name; that makes versions, which are named then."""
    mine = lake_snapshots.c.table_group == group
    with transaction() as connection:
        query = select(lake_snapshots).where(mine).order_by(lake_snapshots.c.sequence)
        kept = [(row.sequence, json.loads(row.versions)) for row in connection.execute(query)]
    sequence, newest = kept[-1]
    versions = {table: clean(folder / table, [each[table] for _, each in kept if table in each]) for table in newest}
    with transaction() as connection:
        connection.execute(
            insert(lake_snapshots).values(
                table_group=group,
                sequence=sequence + 1,
                versions=json.dumps(versions, sort_keys=True),
                named_at_wall=to_microseconds(SystemClock().now()),
            )
        )


def clean(folder: Path, kept: list[int]) -> int:
    """Remove files that no kept version names, and the log of before the oldest; the version that this made."""
    table = DeltaTable(folder)
    # The library's least age protects writers that it cannot see; here the group's lock does.
    table.vacuum(0, enforce_retention_duration=False, dry_run=False, full=True, keep_versions=kept)
    DeltaTable(folder, version=min(kept)).cleanup_metadata()
    return int(table.version())
