"""Reads the newest features of a request's entities from Feast's SQLite online store.

All views and the watermark come from one read transaction, so that an answer never mixes two instants, and reads go on
while a writer publishes. The clock is asked after the snapshot was taken: a row is then never newer than the request.
Nothing here raises into a request: a store that is missing, locked or stale means absent features and a reason.
"""

import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from feature_repo.contracts.base import FeatureViewContract, UseCase, Value
from infra.clock import Clock, from_microseconds, to_microseconds
from infra.quoting import read_only_uri
from serving.online_encoding import cast, decode_value, entity_key

PROJECT = "flywheel"
STALE_AFTER_STEPS = 3
LOCKED_AFTER_SECONDS = 0.05
MAX_CACHED_ROWS = 20_000

STORE_MISSING = "store_missing"
STORE_UNREADABLE = "store_unreadable"
STORE_STALE = "store_stale"


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """One entity's row of a view, and until when it may be served."""

    values: Mapping[str, Value]
    available_at: datetime


@dataclass(frozen=True, slots=True)
class FeatureRead:
    """The features of several requests, as of one instant; a view without a row appears in `reasons`."""

    now: datetime
    as_of: datetime | None
    features: Sequence[dict[str, Value]]
    reasons: Sequence[tuple[str, ...]]


class OnlineFeatures:
    """One connection; use it from one thread."""

    def __init__(self, use_case: UseCase, path: Path, clock: Clock) -> None:
        self.use_case = use_case
        self.path = path
        self.clock = clock
        self.absent: dict[str, Value] = {column.name: None for column in use_case.view_columns}
        self.statements = {
            view.name: f'SELECT feature_name, value, event_ts FROM "{PROJECT}_{view.name}" WHERE entity_key = ?'
            for view in use_case.views
        }
        self.connection: sqlite3.Connection | None = None
        self.inode = 0
        self.data_version = -1
        self.cached: dict[tuple[str, tuple[object, ...]], OnlineRow | None] = {}

    def read(self, requests: Sequence[Mapping[str, object]]) -> FeatureRead:
        try:
            return self.read_snapshot(requests)
        except FileNotFoundError:
            return self.nothing(len(requests), STORE_MISSING)
        except (sqlite3.Error, ValueError, IndexError, OverflowError, struct.error):
            self.close()
            return self.nothing(len(requests), STORE_UNREADABLE)

    def watermark(self) -> datetime | None:
        """The newest published instant, None when there is none to be read."""
        return self.read(()).as_of

    def nothing(self, num_requests: int, reason: str, as_of: datetime | None = None) -> FeatureRead:
        absent = [dict(self.absent) for _ in range(num_requests)]
        return FeatureRead(self.clock.now(), as_of, absent, [(reason,)] * num_requests)

    def read_snapshot(self, requests: Sequence[Mapping[str, object]]) -> FeatureRead:
        connection = self.connect()
        connection.execute("BEGIN")
        try:
            as_of = self.snapshot_watermark(connection)
            now = self.clock.now()
            if as_of is None:
                return self.nothing(len(requests), STORE_MISSING)
            if now - (as_of + self.use_case.lag) > STALE_AFTER_STEPS * self.use_case.step:
                return self.nothing(len(requests), STORE_STALE, as_of)
            found = [self.features_of(connection, request, now) for request in requests]
        finally:
            connection.execute("COMMIT")
        return FeatureRead(now, as_of, [features for features, _ in found], [reasons for _, reasons in found])

    def connect(self) -> sqlite3.Connection:
        """The open connection, or a new one if the file is not the one that was opened. Raises FileNotFoundError."""
        inode = self.path.stat().st_ino
        if self.connection is None or inode != self.inode:
            self.close()
            self.connection = sqlite3.connect(
                read_only_uri(self.path),
                uri=True,
                timeout=LOCKED_AFTER_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self.inode = inode
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection, self.data_version = None, -1
        self.cached.clear()

    def snapshot_watermark(self, connection: sqlite3.Connection) -> datetime | None:
        """This read takes the snapshot; rows cached under another version of the data are forgotten."""
        row = connection.execute(
            "SELECT instant FROM flywheel_watermark WHERE use_case = ?", (self.use_case.name,)
        ).fetchone()
        (data_version,) = connection.execute("PRAGMA data_version").fetchone()
        if data_version != self.data_version or len(self.cached) > MAX_CACHED_ROWS:
            self.cached.clear()
            self.data_version = data_version
        return None if row is None else from_microseconds(row[0])

    def features_of(
        self, connection: sqlite3.Connection, request: Mapping[str, object], now: datetime
    ) -> tuple[dict[str, Value], tuple[str, ...]]:
        features, reasons = dict(self.absent), []
        for view in self.use_case.views:
            row = self.row_of(connection, view, tuple(request[key] for key in view.join_keys))
            if row is None:
                reasons.append(f"absent:{view.name}")
            elif row.available_at + view.ttl <= now:
                reasons.append(f"expired:{view.name}")
            else:
                features.update(row.values)
        return features, tuple(reasons)

    def row_of(
        self, connection: sqlite3.Connection, view: FeatureViewContract, keys: tuple[object, ...]
    ) -> OnlineRow | None:
        """None if the view has no row of these keys, or one of them is null."""
        if None in keys:
            return None
        if (view.name, keys) not in self.cached:
            raw_key = entity_key(dict(zip(view.join_keys, keys, strict=True)))
            rows = connection.execute(self.statements[view.name], (raw_key,)).fetchall()
            self.cached[view.name, keys] = decode_row(view, rows)
        return self.cached[view.name, keys]


def decode_row(view: FeatureViewContract, rows: Iterable[tuple[str, bytes, object]]) -> OnlineRow | None:
    raw_by_name = {name: (raw, event_ts) for name, raw, event_ts in rows}
    if not raw_by_name:
        return None
    values = {
        column.name: cast(column, decode_value(raw_by_name[column.name][0])) if column.name in raw_by_name else None
        for column in view.columns
    }
    # A cell that did not change is not written again before the daily renewal: the newest one dates the row.
    newest = max(parse_event_timestamp(event_ts) for _, event_ts in raw_by_name.values())
    return OnlineRow(values, newest)


def parse_event_timestamp(value: object) -> datetime:
    """Feast writes seconds since the epoch. Raises ValueError for anything else."""
    if not isinstance(value, int):
        raise ValueError(f"event_ts is {value!r}; expected seconds since the epoch")
    return from_microseconds(value * 1_000_000)


def age_seconds(read: FeatureRead) -> float | None:
    return None if read.as_of is None else (read.now - read.as_of) / timedelta(seconds=1)


def as_of_microseconds(read: FeatureRead) -> int | None:
    return None if read.as_of is None else to_microseconds(read.as_of)
