"""What becomes of old versions of the lake: they stay for a week, or while something names them, then they go.

A snapshot stays while it is the newest, younger than `KEPT_FOR`, pinned by something kept that was made of it, or read
by a running process. It is looked at after each change of a group, by the writer, which has the group to itself: so no
file of an unfinished write is taken for a forgotten one.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from deltalake import CommitProperties, DeltaTable
from sqlalchemy import delete, select

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.durable import make_checkpoint_durable, make_durable
from infra.clock import SystemClock, to_microseconds
from infra.database import LockBusyError, locked
from infra.database.engine import Transaction
from infra.database.schema import lake_pins, lake_snapshots
from infra.lake import Lake
from infra.lake.snapshot import name_versions, reader_lock

KEPT_FOR = timedelta(days=7)
PRUNED_EVERY = timedelta(days=1)  # to find a table's forgotten files is to list all of its folder
UNFINISHED = "*#[0-9]*"  # what the library calls a file that it is writing; its own listing leaves them out
ONE_MICROSECOND = timedelta(microseconds=1)
COLUMNS = lake_snapshots.c


def prune(
    lake: Lake,
    group: str,
    transaction: Transaction,
    marks: Mapping[str, str],
    chaos: Chaos = no_chaos,
    *,
    now: bool = False,
) -> None:
    """Forget the group's snapshots that nothing needs and remove the files that only they named.

    At most once in `PRUNED_EVERY`, unless `now`, after a write that did not come to its naming.

    `marks` go with each commit, as those of the change that it follows.
    The caller holds the group's lock and has named its versions. What is still read is left to a later change.
    """
    newest, mine = lake.newest(group), COLUMNS.table_group == group
    due_from = to_microseconds(SystemClock().now() - KEPT_FOR)
    pinned = select(lake_pins.c.sequence).where(lake_pins.c.table_group == group)
    is_kept = COLUMNS.sequence.in_(pinned) | (COLUMNS.sequence == newest.sequence)
    is_due = mine & (COLUMNS.named_at_wall < due_from) & ~is_kept
    with transaction() as connection:
        due = connection.execute(select(COLUMNS.sequence, COLUMNS.named_at_wall).where(is_due)).all()
    oldest = min((row.named_at_wall for row in due), default=due_from)
    if oldest > due_from - PRUNED_EVERY // ONE_MICROSECOND and not now:
        return
    chaos("old_found")
    unread = [sequence for sequence, _ in due if is_unread(lake, group, sequence)]
    with transaction() as connection:  # a reader that has ended since may have pinned what it read
        connection.execute(delete(lake_snapshots).where(is_due, COLUMNS.sequence.in_(unread)))
        named = [json.loads(each) for each in connection.execute(select(COLUMNS.versions).where(mine)).scalars()]
    chaos("old_forgotten")
    versions = {}
    for table, version in newest.versions.items():
        kept = [each[table] for each in named if table in each]
        versions[table] = clean(newest.folder / table, version, kept, marks)
        chaos(f"{table}_cleaned")
    with transaction() as connection:
        name_versions(connection, group, newest.sequence + 1, versions)
    chaos("pruned")


def is_unread(lake: Lake, group: str, sequence: int) -> bool:
    """Whether no process reads it; then none will, since only the newest is opened."""
    try:
        with locked(lake.database, reader_lock(group, sequence), once=True):
            return True
    except LockBusyError:
        return False


def clean(folder: Path, newest: int, kept: list[int], marks: Mapping[str, str]) -> int:
    """Remove files that no kept version names, and the log of before the oldest; the version that this made."""
    for unfinished in folder.rglob(UNFINISHED):
        unfinished.unlink()
    table, marked = DeltaTable(folder), CommitProperties(custom_metadata=dict(marks), max_commit_retries=0)
    if table.version() > newest:  # by a write that died
        table.restore(newest, commit_properties=marked)
    # The library's least age protects writers that it cannot see; here the group's lock does.
    table.vacuum(
        0, enforce_retention_duration=False, dry_run=False, full=True, keep_versions=kept, commit_properties=marked
    )
    forget_log(folder, min(kept))
    version = int(table.version())
    make_durable(folder, newest, version)
    return version


def forget_log(folder: Path, before: int) -> None:
    """Only what a checkpoint stands for is removed, and no checkpoint is made of itself so soon."""
    if (folder / "_delta_log" / f"{before - 1:020}.json").exists():
        oldest = DeltaTable(folder, version=before)
        oldest.create_checkpoint()
        make_checkpoint_durable(folder, before)
        oldest.cleanup_metadata()
