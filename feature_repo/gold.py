"""Builds an interval's gold tables from silver: the change logs of the feature views, the population, the labels.

Every instant of the interval is computed by the views' own SQL; a row is kept only where a key's values differ from
those of the instant before, or at the first instant of a day. That makes a log a hundredth of the dense table, and
because of the daily rows a point-in-time join never looks back further than a day. Idempotent by interval: for the same
deliveries a rerun gives the same bytes, and all tables change in one commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts import lake
from feature_repo.contracts.base import DataInterval, FeatureViewContract
from feature_repo.errors import TransformError
from feature_repo.lake import Transaction, partition, partitions, read, transaction
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.transforms import Transforms, compute, grid, load_source, open_engine, sql_type

MAX_INSTANTS = 168  # of a chunk; bounds memory, changes no value
# DuckDB divides a statement's work by tens of thousands of rows, more than a chunk has: whole chunks go side by side.
CHUNKS_AT_ONCE = 2
UTC_MICROSECONDS = pa.timestamp("us", "UTC")


@dataclass(frozen=True, kw_only=True)
class GoldTable:
    """A gold table: where it lies, the time columns that its partitions and intervals go by, how far they are apart."""

    path: Path
    partitioned_by: str
    interval_by: str
    lag: timedelta = timedelta(0)


def build(
    transforms: Transforms,
    sources: Sequence[Source],
    interval: DataInterval,
    *,
    data_dir: Path,
    chaos: Chaos = no_chaos,
) -> dict[str, int]:
    """The number of rows written by table name: where nothing was delivered, 0, and what lay there is removed.

    Raises TransformError if the interval is off the grid or some SQL does not run.
    """
    contract = transforms.contract
    if interval.start != contract.floor(interval.start) or interval.end != contract.floor(interval.end):
        raise TransformError(f"{contract.name}: {interval} must begin and end on the grid, every {contract.step}")
    logs_by_view = {view.name: change_log(data_dir, view, contract.lag) for view in contract.views}
    tables = logs_by_view | outcomes(data_dir, contract.name)
    with transaction(data_dir, f"{contract.name}__gold", [table.path for table in tables.values()], chaos) as change:
        logs = compute_change_logs(transforms, sources, interval, data_dir)
        chaos("computed")
        logs |= compute_outcomes(transforms, sources, interval, data_dir)
        for name, table in tables.items():
            write(change, table, logs[name], interval)
    return {name: rows.num_rows for name, rows in logs.items()}


def change_log(data_dir: Path, view: FeatureViewContract, lag: timedelta) -> GoldTable:
    path = lake.feature_view(data_dir, view.name)
    return GoldTable(path=path, partitioned_by="available_at", interval_by="instant", lag=lag)


def outcomes(data_dir: Path, use_case: str) -> dict[str, GoldTable]:
    return {
        "population": GoldTable(
            path=lake.population(data_dir, use_case), partitioned_by="prediction_time", interval_by="prediction_time"
        ),
        "labels": GoldTable(path=lake.labels(data_dir, use_case), partitioned_by="known_at", interval_by="known_at"),
    }


def compute_change_logs(
    transforms: Transforms, sources: Sequence[Source], interval: DataInterval, data_dir: Path
) -> dict[str, pa.Table]:
    def compute_chunk(chunk: DataInterval) -> Mapping[str, pa.Table]:
        return compute_change_log(transforms, sources, chunk, data_dir)

    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as threads:
        parts = [*threads.map(compute_chunk, chunks(interval, transforms.contract.step * MAX_INSTANTS))]
    return {
        view.name: with_time_zone(pa.concat_tables([part[view.name] for part in parts]))
        for view in transforms.contract.views
    }


def compute_change_log(
    transforms: Transforms, sources: Sequence[Source], chunk: DataInterval, data_dir: Path
) -> dict[str, pa.Table]:
    """Of every view, computed with the instant before, so that the chunk's first rows have something to differ from."""
    contract, connection = transforms.contract, open_engine(threads=1)
    load_silver(connection, transforms, sources, chunk, data_dir)
    rows_by_view = compute(connection, transforms, [chunk.start - contract.step, *grid(chunk, contract.step)])
    logs = {}
    for view in contract.views:
        connection.register("dense", rows_by_view[view.name])
        logs[view.name] = connection.execute(changes(view, chunk, contract.step, contract.lag)).to_arrow_table()
        connection.unregister("dense")
    return logs


def compute_outcomes(
    transforms: Transforms, sources: Sequence[Source], interval: DataInterval, data_dir: Path
) -> dict[str, pa.Table]:
    connection = open_engine(threads=1)
    load_silver(connection, transforms, sources, interval, data_dir)
    tables = {}
    for name, table in outcomes(data_dir, transforms.contract.name).items():
        bounds = (
            f"{table.interval_by} >= {timestamp(interval.start)} AND {table.interval_by} < {timestamp(interval.end)}"
        )
        select = f"SELECT * FROM (\n{transforms.sql(name)}\n) WHERE {bounds}"
        try:
            rows = connection.execute(select).to_arrow_table()
        except duckdb.Error as error:
            raise TransformError(f"{transforms.contract.name}: the SQL of {name} failed: {error}") from error
        order = sorted(rows.column_names, key=table.interval_by.__ne__)
        tables[name] = with_time_zone(rows.sort_by([(column, "ascending") for column in order]))
    return tables


def chunks(interval: DataInterval, longest: timedelta) -> Iterator[DataInterval]:
    start = interval.start
    while start < interval.end:
        end = min(start + longest, interval.end)
        yield DataInterval(start=start, end=end)
        start = end


def load_silver(
    connection: duckdb.DuckDBPyConnection,
    transforms: Transforms,
    sources: Sequence[Source],
    interval: DataInterval,
    data_dir: Path,
) -> None:
    """What had been delivered before the interval's end and can still matter to its instants."""
    oldest = interval.start - transforms.contract.step - transforms.history
    for source in sources:
        rows = read_silver(source, data_dir, DataInterval(start=oldest, end=interval.end))
        load_source(connection, source.name, rows, transforms.contract.step)


def read_silver(source: Source, data_dir: Path, interval: DataInterval) -> pa.Table:
    first, last = interval.start.date(), interval.end.date()
    files = [path for path in partitions(lake.silver(data_dir, source.name)) if first <= day_of(path) <= last]
    tables = [read(path, source.schema.names) for path in files]
    return between(pa.concat_tables([source.schema.empty_table(), *tables]), DELIVERED_AT, interval)


def day_of(path: Path) -> date:
    return date.fromisoformat(path.parent.name.removeprefix("day="))


def between(rows: pa.Table, column: str, interval: DataInterval) -> pa.Table:
    start, end = (pa.scalar(moment, UTC_MICROSECONDS) for moment in (interval.start, interval.end))
    return rows.filter(pc.and_(pc.greater_equal(rows[column], start), pc.less(rows[column], end)))


def changes(view: FeatureViewContract, interval: DataInterval, step: timedelta, lag: timedelta) -> str:
    """SQL from the view's `dense` rows to its change log: what differs, what is renewed daily, what has gone."""
    keys, names = ", ".join(view.join_keys), [column.name for column in view.columns]
    differs = " OR ".join(f"{name} IS DISTINCT FROM lag({name}) OVER of_key" for name in names)
    nothing = ", ".join(f"CAST(NULL AS {sql_type(column)}) AS {column.name}" for column in view.columns)
    one, begin, end = duration(step), timestamp(interval.start), timestamp(interval.end)
    return f"""
        WITH ordered AS (
            SELECT *,
                instant - {one} IS DISTINCT FROM lag(instant) OVER of_key OR {differs} AS changed,
                instant + {one} IS DISTINCT FROM lead(instant) OVER of_key AS last_one
            FROM dense WINDOW of_key AS (PARTITION BY {keys} ORDER BY instant)
        ), log AS (
            SELECT {keys}, instant, {", ".join(names)} FROM ordered
            WHERE changed OR date_trunc('day', instant) <> date_trunc('day', instant - {one})
            UNION ALL
            SELECT {keys}, instant + {one}, {nothing} FROM ordered WHERE last_one
        )
        SELECT {keys}, instant, instant + {duration(lag)} AS available_at, {", ".join(names)}
        FROM log WHERE instant >= {begin} AND instant < {end} ORDER BY instant, {keys}"""


def duration(value: timedelta) -> str:
    return f"to_microseconds({value // timedelta(microseconds=1)})"


def timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')}'"


def with_time_zone(rows: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, UTC_MICROSECONDS) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def write(change: Transaction, table: GoldTable, rows: pa.Table, interval: DataInterval) -> None:
    """Stage every day that has rows of the interval or had some; a day keeps its rows of other intervals."""
    own, last = by_day(rows, table.partitioned_by), interval.end + table.lag
    held = {day_of(path) for path in partitions(table.path)}
    for day in sorted(own.keys() | {day for day in held if interval.start.date() <= day <= last.date()}):
        change.write(table.path, day, with_other_intervals(own.get(day, rows.slice(0, 0)), table, day, interval))


def by_day(rows: pa.Table, column: str) -> dict[date, pa.Table]:
    """The rows, which are in the column's order, cut where the day turns: no day of no rows."""
    days = pc.run_end_encode(pc.cast(rows[column], pa.date32()).combine_chunks())
    spans = zip(days.values.to_pylist(), pairwise([0, *days.run_ends.to_pylist()]), strict=True)
    return {day: rows.slice(start, end - start) for day, (start, end) in spans}


def with_other_intervals(own: pa.Table, table: GoldTable, day: date, interval: DataInterval) -> pa.Table:
    path = partition(table.path, day)
    if not path.exists():
        return own
    held = read(path)
    earlier = pc.less(held[table.interval_by], pa.scalar(interval.start, UTC_MICROSECONDS))
    later = pc.greater_equal(held[table.interval_by], pa.scalar(interval.end, UTC_MICROSECONDS))
    return pa.concat_tables([held.filter(earlier), own, held.filter(later)])
