"""Real deliveries on a real landing folder, and how to look at a lake."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import nycflights
from feature_repo.contracts import lake
from feature_repo.contracts.base import DataInterval
from feature_repo.landing import write_delivery
from feature_repo.rules_sql import verdicts
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.use_cases.flight_delay import FLIGHTS, WEATHER
from feature_repo.validation import Report

OWNER = "flight_delay"
SOURCES = {source.name: source for source in (FLIGHTS, WEATHER)}
START = datetime(2013, 2, 8, tzinfo=UTC)  # a blizzard: cancellations, diversions, long delays
TWO_DAYS = DataInterval(start=START, end=START + timedelta(days=2))


def between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = rows[DELIVERED_AT]
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start, times.type)), pc.less(times, pa.scalar(end, times.type)))
    return rows.filter(inside)


def write_references(data_dir: Path) -> None:
    for name, table in nycflights.references().items():
        path = lake.reference(data_dir, OWNER, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


def land(data_dir: Path, source: str, rows: pa.Table, every: timedelta = timedelta(hours=6)) -> None:
    """Deliver the two days' rows in files of `every`."""
    start = TWO_DAYS.start
    while start < TWO_DAYS.end:
        write_delivery(data_dir, source, start + every, between(rows, start, start + every))
        start += every


def shift(rows: pa.Table, column: str, by: timedelta) -> pa.Table:
    index = rows.schema.get_field_index(column)
    moved = pc.add(rows[column], pa.scalar(by, pa.duration("us"))).cast(rows.schema.field(column).type)
    return rows.set_column(index, column, moved)


def put(rows: pa.Table, column: str, values: Iterable[object]) -> pa.Table:
    """The rows with the column's first values replaced."""
    new = list(values)
    all_values = [*new, *rows[column].to_pylist()[len(new) :]]
    index = rows.schema.get_field_index(column)
    return rows.set_column(index, column, pa.array(all_values, rows.schema.field(column).type))


def ingest(data_dir: Path, source: str | Source = "flights", interval: DataInterval = TWO_DAYS) -> Report:
    """The real ingest, with the quick one of the two engines: `test_suite.py` holds them equal."""
    from feature_repo.ingest import ingest as ingest_interval

    declared = SOURCES[source] if isinstance(source, str) else source
    control = data_dir / "control.db"
    return ingest_interval(OWNER, declared, interval, data_dir=data_dir, control_database=control, engine=verdicts)


def digests(table: Path) -> dict[str, str]:
    """SHA-256 of each partition, by day."""
    files = sorted(table.glob("day=*/part.parquet"))
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lake_digests(data_dir: Path, source: str = "flights") -> dict[str, dict[str, str]]:
    layers = (lake.bronze, lake.silver, lake.quarantine)
    return {layer.__name__: digests(layer(data_dir, source)) for layer in layers}


def read(table: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in sorted(table.glob("day=*/part.parquet")))
