"""An installation that has flown through a blizzard: hourly deliveries, some of them late, ingested and built."""

import random
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.gold import build
from feature_repo.landing import write_delivery
from feature_repo.sources import DELIVERED_AT
from feature_repo.stream import Stream
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from tests.feature_repo import landed

HOUR = timedelta(hours=1)
KNOWN_FROM = landed.START - timedelta(days=3)
START, END = landed.START, landed.START + timedelta(days=2)
DELIVERED = DataInterval(start=KNOWN_FROM, end=END)
BUILT = DataInterval(start=START - timedelta(days=1), end=END)


class HandClock:
    def __init__(self, now: datetime) -> None:
        self.instant = now

    def now(self) -> datetime:
        return self.instant


def with_late_rows(rows: pa.Table, share: float = 0.02) -> pa.Table:
    """Some rows reach us hours or a day later than they should have."""
    chosen = np.random.default_rng(1).random(rows.num_rows) < share
    hours = np.where(chosen, np.random.default_rng(2).integers(1, 30, rows.num_rows), 0)
    late = rows[DELIVERED_AT].cast(pa.int64()).to_numpy() + hours * 3_600_000_000
    index = rows.schema.get_field_index(DELIVERED_AT)
    moved = rows.set_column(index, DELIVERED_AT, pa.array(late).cast(rows.schema.field(DELIVERED_AT).type))
    return moved.sort_by(DELIVERED_AT)


def land_hourly(root: Path, deliveries: dict[str, pa.Table], *, shuffled_with: int | None = None) -> None:
    """One file an hour; shuffled ones are out of order and have a part of the hour before once more."""
    for name, rows in deliveries.items():
        write_delivery(root, name, START, landed.between(rows, KNOWN_FROM, START))
        moment = START
        while moment < END:
            hour = landed.between(rows, moment, moment + HOUR)
            if shuffled_with is not None:
                again = landed.between(rows, moment - HOUR, moment)
                hour = pa.concat_tables([hour, again.slice(0, again.num_rows // 2)])
                order = list(range(hour.num_rows))
                random.Random(shuffled_with).shuffle(order)
                hour = hour.take(order)
            moment += HOUR
            write_delivery(root, name, moment, hour)


def make(root: Path, year: dict[str, pa.Table], *, shuffled_with: int | None = None) -> Path:
    landed.set_up(root)
    deliveries = {name: with_late_rows(landed.between(rows, KNOWN_FROM, END)) for name, rows in year.items()}
    land_hourly(root, deliveries, shuffled_with=shuffled_with)
    for source in SOURCES:
        landed.ingest(root, source, DELIVERED)
    build(TRANSFORMS, SOURCES, BUILT, lake=landed.lake_of(root))
    return root


def stream(root: Path, clock: HandClock) -> Stream:
    return Stream(TRANSFORMS, SOURCES, lake=landed.lake_of(root), online_store=root / "online_store.db", clock=clock)


def play(root: Path, start: datetime, hours: int) -> Stream:
    """Let a micro-batch publish each of the hours, the first one into a store that may be new."""
    clock = HandClock(start + FLIGHT_DELAY.lag)
    playing = stream(root, clock)
    for _ in range(hours):
        assert playing.advance()
        clock.instant += HOUR
    return playing


def dump(root: Path) -> list[str]:
    """The online store as text, without when it was written."""
    with closing(sqlite3.connect(root / "online_store.db")) as connection:
        connection.execute("UPDATE flywheel_watermark SET published_at_wall = 0")
        return sorted(connection.iterdump())
