"""Brings the online store to the newest instant that is due, from the gold tables, in one transaction.

For a new installation, or one whose micro-batch was down for longer than it remembers. Reads go on meanwhile: they see
the store of before until the commit. It never takes the store back to an older instant.
"""

from datetime import datetime

import duckdb

from feature_repo.contracts.base import FeatureViewContract, UseCase
from feature_repo.errors import NothingToDoError
from feature_repo.gold import timestamp
from feature_repo.microbatch import values_by_key
from feature_repo.online_store import Change, Key, OnlineStore, Row
from feature_repo.transforms import open_engine, sql_type
from infra.lake import Lake, Snapshot, days_between, use_case_group, view_table


def materialize(use_case: UseCase, store: OnlineStore, *, lake: Lake, now: datetime) -> tuple[datetime, int]:
    """The instant that the store is at now, and how many rows were written or deleted.

    Raises NothingToDoError if gold has nothing newer than the store.
    """
    with lake.open(use_case_group(use_case.name)) as gold:
        return materialize_gold(use_case, store, gold, now)


def materialize_gold(use_case: UseCase, store: OnlineStore, gold: Snapshot, now: datetime) -> tuple[datetime, int]:
    built = newest_instant(use_case, gold)
    if built is None:
        raise NothingToDoError(f"{use_case.name}: the gold tables are empty; run `python -m feature_repo build` first")
    instant = min(use_case.floor(now - use_case.lag), built)
    watermark, held = store.contents()
    if watermark is not None and watermark >= instant:
        raise NothingToDoError(
            f"{use_case.name}: online is at {watermark:%Y-%m-%d %H:%M}, gold at {instant:%Y-%m-%d %H:%M}"
        )
    changes = {}
    for view in use_case.views:
        rows = rows_at(view, gold, instant + use_case.lag)
        written = {key: row for key, row in rows.items() if held[view.name].get(key) != row}
        changes[view.name] = Change(written, frozenset(held[view.name].keys() - rows.keys()))
    store.publish(instant, store.encode(changes), after=watermark)
    return instant, sum(len(change.written) + len(change.deleted) for change in changes.values())


def newest_instant(use_case: UseCase, gold: Snapshot) -> datetime | None:
    """The newest instant of which any view has a row, None if gold is empty.

    A change log has no row where nothing changed, so gold may have been built a little further than this.
    """
    newest = []
    for view in use_case.views:
        for day in gold.days(view_table(view.name))[-1:]:
            rows = gold.sql(view_table(view.name), days={day})
            (found,) = open_engine(1).execute(f"SELECT max(instant) FROM {rows}").fetchall()[0]
            newest.append(found)
    return max(newest, default=None)


def rows_at(view: FeatureViewContract, gold: Snapshot, served_at: datetime) -> dict[Key, Row]:
    """What may be served at that time: the newest row of each key, if it has values and is not too old."""
    oldest = served_at - view.ttl
    log = gold.sql(view_table(view.name), days=days_between(oldest, served_at))
    if log is None:
        return {}
    connection: duckdb.DuckDBPyConnection = open_engine(1)
    keys, names = ", ".join(view.join_keys), ", ".join(column.name for column in view.columns)
    # A column that was declared after the files were written is absent in them.
    declared = ", ".join(f"CAST(NULL AS {sql_type(column)}) AS {column.name}" for column in view.columns)
    empty = " AND ".join(f"{column.name} IS NULL" for column in view.columns)
    rows = connection.execute(
        f"""SELECT * FROM (
            SELECT {keys}, {names}, available_at FROM (FROM {log} UNION ALL BY NAME SELECT {declared} WHERE false)
            WHERE available_at::TIMESTAMP <= {timestamp(served_at)} AND available_at::TIMESTAMP > {timestamp(oldest)}
            QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY available_at DESC) = 1
        ) WHERE NOT ({empty})"""
    ).to_arrow_table()
    since = rows["available_at"].to_pylist()
    return {key: Row(values, at) for (key, values), at in zip(values_by_key(view, rows).items(), since, strict=True)}
