"""Real deliveries on a real landing folder, and how to look at a lake."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import delete

from feature_repo import nycflights
from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.lake import IntervalTable, change
from feature_repo.landing import write_delivery
from feature_repo.rules_sql import verdicts
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.use_cases.flight_delay import FLIGHTS, WEATHER
from feature_repo.validation import Report
from infra.database import migrate, writing
from infra.database.schema import lake_snapshots
from infra.lake import BRONZE, QUARANTINE, SILVER, Lake, Snapshot, source_group, use_case_group
from infra.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

OWNER = "flight_delay"
SOURCES = {source.name: source for source in (FLIGHTS, WEATHER)}
START = datetime(2013, 2, 8, tzinfo=UTC)  # a blizzard: cancellations, diversions, long delays
TWO_DAYS = DataInterval(start=START, end=START + timedelta(days=2))


def between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = rows[DELIVERED_AT]
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start, times.type)), pc.less(times, pa.scalar(end, times.type)))
    return rows.filter(inside)


def database_of(data_dir: Path) -> str:
    return Settings(data_dir=data_dir).database


def set_up(data_dir: Path) -> None:
    """What `make setup` leaves for this layer: the database and the reference tables."""
    migrate(database_of(data_dir))
    write_references(data_dir)


def write_references(data_dir: Path) -> None:
    for name, table in nycflights.references().items():
        path = folders.reference(data_dir, OWNER, name)
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


def lake_of(data_dir: Path) -> Lake:
    """Its lake, with a database that has the schema."""
    settings = Settings(data_dir=data_dir)
    migrate(settings.database)
    return Lake(settings.root, settings.database)


def ingest(data_dir: Path, source: str | Source = "flights", interval: DataInterval = TWO_DAYS) -> Report:
    """The real ingest, with the quick one of the two engines: `test_suite.py` holds them equal."""
    from feature_repo.ingest import ingest as ingest_interval

    declared = SOURCES[source] if isinstance(source, str) else source
    return ingest_interval(OWNER, declared, interval, lake=lake_of(data_dir), engine=verdicts)


def snapshot(data_dir: Path, group: str) -> Snapshot:
    """For folders that nothing else prunes: no lock is held on it."""
    with lake_of(data_dir).open(group) as opened:
        return opened


def gold_of(data_dir: Path, use_case: str = "flight_delay") -> Snapshot:
    return snapshot(data_dir, use_case_group(use_case))


def feast_of(data_dir: Path) -> "FeatureStore":
    """Feast on the newest gold; `offline.apply` must have run."""
    from feature_repo.offline import open_feature_store

    return open_feature_store(Settings(data_dir=data_dir), {"flight_delay": gold_of(data_dir)})


def write_gold(data_dir: Path, table: str, rows: pa.Table, time: str, use_case: str = "flight_delay") -> None:
    """Make `rows` all that the table has; `time` gives their day."""
    ordered = rows.sort_by(time)
    first, last = (ordered[time][index].as_py().astimezone(UTC) for index in (0, -1))
    whole = DataInterval(start=first, end=last + timedelta(microseconds=1))
    with change(lake_of(data_dir), use_case_group(use_case)) as changed:
        changed.replace(IntervalTable(name=table, partitioned_by=time, interval_by=time), ordered, whole)


def forget(root: Path, *groups: str) -> None:
    """As if nothing had ever been written to the groups."""
    with writing(lake_of(root).database) as connection:
        for group in groups:
            connection.execute(delete(lake_snapshots).where(lake_snapshots.c.table_group == group))


def read(data_dir: Path, group: str, table: str) -> pa.Table:
    """The table's rows as its group was last named; none of no column if it has no row."""
    with lake_of(data_dir).open(group) as snapshot:
        return snapshot.read(table)


def silver(data_dir: Path, source: str = "flights") -> pa.Table:
    return read(data_dir, source_group(source), SILVER)


def quarantine(data_dir: Path, source: str = "flights") -> pa.Table:
    return read(data_dir, source_group(source), QUARANTINE)


def bronze(data_dir: Path, source: str = "flights") -> pa.Table:
    return read(data_dir, source_group(source), BRONZE)


def tables_of(data_dir: Path, source: str = "flights") -> dict[str, pa.Table]:
    return {table: read(data_dir, source_group(source), table) for table in (BRONZE, SILVER, QUARANTINE)}


def gold(data_dir: Path, table: str, use_case: str = "flight_delay") -> pa.Table:
    return read(data_dir, use_case_group(use_case), table)
