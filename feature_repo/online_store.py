"""Writes the online store: one transaction per instant with what changed, what has gone and the watermark.

Readers see an instant entirely or not at all, and never wait (SQLite in WAL mode). What the store holds is read back
once at the start, so that a restarted writer goes on from exactly what was published. A second writer is fenced out:
every transaction first checks that the watermark is the one that this writer left.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.base import ColumnType, FeatureViewContract, UseCase, Value
from feature_repo.errors import OnlineStoreError
from feature_repo.feast_layout import create_table, decode_key, decode_value, encode_key, encode_value, table_name
from infra.clock import from_microseconds, to_microseconds

Key = tuple[str, ...]
Values = tuple[Value, ...]
Cell = tuple[bytes, str, bytes, int]

WATERMARK = """
CREATE TABLE IF NOT EXISTS flywheel_watermark (
    use_case TEXT PRIMARY KEY, instant INTEGER NOT NULL, published_at_wall INTEGER NOT NULL
)
"""
UPSERT = (
    "INSERT INTO {table} (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A key's values in the view's order, and since when they may be served."""

    values: Values
    available_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """What an instant changes in one view: rows to write and keys to delete.

    A written row that replaces one whose other cells may stay is in `replaced` with the values held so far.
    """

    written: Mapping[Key, Row]
    deleted: frozenset[Key]
    replaced: Mapping[Key, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A change as the parameters of its two statements: what takes longer than to write them."""

    deleted: list[tuple[bytes]]
    written: list[Cell]


class FencedOutError(OnlineStoreError):
    """Another writer has published since this one last looked; read the store again and go on from there."""


class OnlineStore:
    """One connection, one writer; use it from one thread."""

    def __init__(self, path: Path, contract: UseCase, chaos: Chaos = no_chaos) -> None:
        self.path, self.contract, self.chaos = path, contract, chaos
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        for statement in (WATERMARK, *(create_table(view.name) for view in contract.views)):
            self.connection.execute(statement)
        self.raw_keys: dict[tuple[str, Key], bytes] = {}

    def close(self) -> None:
        self.connection.close()

    def watermark(self) -> datetime | None:
        """The newest published instant, None before the first."""
        row = self.connection.execute(
            "SELECT instant FROM flywheel_watermark WHERE use_case = ?", (self.contract.name,)
        ).fetchone()
        return None if row is None else from_microseconds(row[0])

    def contents(self) -> tuple[datetime | None, dict[str, dict[Key, Row]]]:
        """The watermark and every view's rows, of one snapshot."""
        self.connection.execute("BEGIN")
        try:
            return self.watermark(), {view.name: self.rows(view) for view in self.contract.views}
        finally:
            self.connection.execute("COMMIT")

    def rows(self, view: FeatureViewContract) -> dict[Key, Row]:
        cells: dict[bytes, tuple[dict[str, bytes], int]] = {}
        query = f'SELECT entity_key, feature_name, value, event_ts FROM "{table_name(view.name)}"'
        for raw_key, name, value, event_ts in self.connection.execute(query):
            values, newest = cells.get(raw_key, ({}, 0))
            values[name] = value
            cells[raw_key] = values, max(newest, event_ts)
        return {
            tuple(decode_key(raw_key)[name] for name in view.join_keys): Row(
                tuple(decode_value(values.get(column.name, b"")) for column in view.columns),
                from_microseconds(event_ts * 1_000_000),
            )
            for raw_key, (values, event_ts) in cells.items()
        }

    def encode(self, changes: Mapping[str, Change]) -> dict[str, Encoded]:
        """What `publish` takes, made while nobody waits for it."""
        return {
            view.name: Encoded(
                deleted=[(self.raw_key(view, key),) for key in sorted(changes[view.name].deleted)],
                written=list(self.cells(view, changes[view.name])),
            )
            for view in self.contract.views
        }

    def publish(self, instant: datetime, encoded: Mapping[str, Encoded], *, after: datetime | None) -> None:
        """Raises FencedOutError if the watermark is no longer `after`; the store is then as it was."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            found = self.watermark()
            if found != after:
                raise FencedOutError(f"{self.path}: expected the instant {after}, found {found}: another writer")
            for view in self.contract.views:
                self.write(view, encoded[view.name])
                self.chaos(f"{view.name}_written")
            self.connection.execute(
                "INSERT OR REPLACE INTO flywheel_watermark VALUES (?, ?, ?)",
                (self.contract.name, to_microseconds(instant), time.time_ns() // 1000),
            )
            self.chaos("watermark_written")
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.chaos("committed")

    def write(self, view: FeatureViewContract, encoded: Encoded) -> None:
        table = f'"{table_name(view.name)}"'
        self.connection.executemany(f"DELETE FROM {table} WHERE entity_key = ?", encoded.deleted)
        self.connection.executemany(UPSERT.format(table=table), encoded.written)

    def cells(self, view: FeatureViewContract, change: Change) -> Iterator[Cell]:
        """Feast keeps one row per feature; `event_ts` in seconds, as its own adapter writes it on a machine in UTC.

        Only what differs is written, so that the newest `event_ts` of a key's cells is when its row was written.
        """
        columns = [(column.name, column.type) for column in view.columns]
        unknown = (None,) * len(columns)
        for key, row in change.written.items():
            raw_key, event_ts = self.raw_key(view, key), to_microseconds(row.available_at) // 1_000_000
            whole, held = key not in change.replaced, change.replaced.get(key, unknown)
            for (name, type_), value, old in zip(columns, row.values, held, strict=True):
                if whole or not identical(type_, value, old):
                    yield raw_key, name, encode_value(type_, value), event_ts

    def raw_key(self, view: FeatureViewContract, key: Key) -> bytes:
        known = self.raw_keys.get((view.name, key))
        if known is None:
            known = self.raw_keys[view.name, key] = encode_key(view.join_keys, key)
        return known


def identical(type_: ColumnType, value: Value, other: Value) -> bool:
    """To the bit: a zero equals one of the other sign."""
    return value == other and (bool(value) or encode_value(type_, value) == encode_value(type_, other))


def expired(rows: Mapping[Key, Row], now: datetime, ttl: timedelta) -> set[Key]:
    return {key for key, row in rows.items() if row.available_at + ttl <= now}
