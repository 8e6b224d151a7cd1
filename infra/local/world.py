"""The outside world of the demo: source events that reach the landing folders in order, some late, some twice.

It knows the feed's files and nothing of how the platform reads them. Whole deliveries are late or repeated, not single
rows, because that is how a source fails; the draw depends on the seed alone, so two demos see the same world.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.contracts.folders import landing
from infra.clock import from_microseconds, to_microseconds
from infra.local.errors import InstallationError
from infra.whole_file import whole_file

HOUR = timedelta(hours=1)
HOUR_MICROSECONDS = 3_600_000_000
FILE_NAME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, kw_only=True)
class Disturbances:
    """Shares of hourly deliveries that come late, or a second time, 1 to `max_hours` hours after they were due."""

    held_back: float = 0.02
    twice: float = 0.01
    max_hours: int = 6


class Source:
    """One source's deliveries of the year in order, sliced by when they reached us."""

    def __init__(self, name: str, rows: pa.Table) -> None:
        """`rows` must be sorted by `delivered_at`."""
        self.name = name
        self.rows = rows
        self.delivered_at = microseconds(rows, "delivered_at")

    def delivered(self, start: datetime, end: datetime) -> pa.Table:
        """What was delivered in `[start, end)`."""
        bounds = [to_microseconds(start), to_microseconds(end)]
        first, last = np.searchsorted(self.delivered_at, bounds)
        return self.rows.slice(first, last - first)

    def disturbed(self, disturbances: Disturbances, seed: int) -> "Source":
        """The same events with some hours' deliveries late and some delivered again later."""
        hours = self.delivered_at // HOUR_MICROSECONDS
        buckets = hours - hours[0] if len(hours) else hours
        num_buckets = int(buckets[-1]) + 1 if len(hours) else 0
        generator = np.random.default_rng([seed, *self.name.encode()])
        draw = generator.random(num_buckets)
        delay = generator.integers(1, disturbances.max_hours + 1, num_buckets) * HOUR_MICROSECONDS
        late = draw < disturbances.held_back
        twice = ~late & (draw < disturbances.held_back + disturbances.twice)
        moved = self.delivered_at + np.where(late, delay, 0)[buckets]
        again = np.flatnonzero(twice[buckets])
        rows = pa.concat_tables([self.rows, self.rows.take(again)])
        return in_order(self.name, rows, np.concatenate([moved, moved[again] + delay[buckets[again]]]))


def in_order(name: str, rows: pa.Table, delivered_at: np.ndarray) -> Source:
    order = np.argsort(delivered_at, kind="stable")
    index = rows.schema.get_field_index("delivered_at")
    column = pa.array(delivered_at, pa.int64()).cast(rows.schema.field(index).type)
    return Source(name, rows.set_column(index, rows.schema.field(index), column).take(order).combine_chunks())


def microseconds(rows: pa.Table, column: str) -> np.ndarray:
    """A column of `timestamp[us, UTC]` without nulls as int64."""
    values: np.ndarray = rows.column(column).cast(pa.int64()).to_numpy()
    return values


class World:
    """Every source of a feed folder; hands deliveries to the platform as files that appear at once or not at all."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = {source.name: source for source in sources}

    @classmethod
    def of_feed(cls, folder: Path, disturbances: Disturbances, seed: int) -> "World":
        """Read `<source>.parquet` of each source. Raises FileNotFoundError if the folder holds none."""
        paths = sorted(folder.glob("*.parquet"))
        if not paths:
            raise FileNotFoundError(f"no feed in {folder}; write one with `python -m feature_repo feed`")
        sources = [Source(path.stem, pq.read_table(path)) for path in paths]
        return cls([source.disturbed(disturbances, seed) for source in sources])

    @property
    def begins_at(self) -> datetime:
        """The day of the first delivery. Raises InstallationError if no source has a row."""
        firsts = [int(source.delivered_at[0]) for source in self.sources.values() if len(source.delivered_at)]
        if not firsts:
            names = ", ".join(self.sources)
            raise InstallationError(
                f"no delivery in the feed's sources ({names}); write it anew with `python -m feature_repo feed`"
            )
        first = min(firsts)
        return from_microseconds(first).replace(hour=0, minute=0, second=0, microsecond=0)

    def deliver(self, data_dir: Path, start: datetime, end: datetime) -> int:
        """Land what was delivered in `[start, end)`, one file per source that has rows; returns the number of rows."""
        num_rows = 0
        for source in self.sources.values():
            rows = source.delivered(start, end)
            if rows.num_rows:
                land(data_dir, source.name, end, rows)
                num_rows += rows.num_rows
        return num_rows

    def deliver_by_day(self, data_dir: Path, start: datetime, end: datetime) -> int:
        """The same rows in files of at most a day, for history."""
        return sum(self.deliver(data_dir, first, last) for first, last in spans(start, end, timedelta(days=1)))


def spans(start: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Cut `[start, end)` into pieces of `length`; the last may be shorter."""
    while start < end:
        following = min(start + length, end)
        yield start, following
        start = following


def land(data_dir: Path, source: str, moment: datetime, rows: pa.Table) -> Path:
    """Write a delivery under its time's name, by rename, so that no reader sees half of it."""
    folder = landing(data_dir, source)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{moment.strftime(FILE_NAME)}.parquet"
    with whole_file(path) as unfinished:
        pq.write_table(rows, unfinished, compression="zstd")
    return path
