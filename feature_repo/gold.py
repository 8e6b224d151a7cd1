"""Builds an interval's gold tables from silver: the change logs of the feature views, the population, the labels.

Every instant of the interval is computed by the views' own SQL; a row is kept only where a key's values differ from
those of the instant before, or at the first instant of a day. That makes a log a hundredth of the dense table, and
because of the daily rows a point-in-time join never looks back further than a day. Idempotent by interval: for the same
deliveries a rerun gives the same rows, and all tables change together.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.base import DataInterval, FeatureViewContract
from feature_repo.errors import TransformError
from feature_repo.lake import IntervalTable, change
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.transforms import Transforms, compute, grid, load_source, open_engine, sql_type, with_time_zone
from infra.lake import (
    LABELS,
    POPULATION,
    SILVER,
    Lake,
    Snapshot,
    days_between,
    source_group,
    use_case_group,
    view_table,
)

MAX_INSTANTS = 168  # of a chunk; bounds memory, changes no value
# DuckDB divides a statement's work by tens of thousands of rows, more than a chunk has: whole chunks go side by side.
CHUNKS_AT_ONCE = 2
UTC_MICROSECONDS = pa.timestamp("us", "UTC")
OUTCOMES = (
    IntervalTable(name=POPULATION, partitioned_by="prediction_time", interval_by="prediction_time"),
    IntervalTable(name=LABELS, partitioned_by="known_at", interval_by="known_at"),
)

Silver = Mapping[str, Snapshot]  # by source: its group as of one moment


def build(
    transforms: Transforms,
    sources: Sequence[Source],
    interval: DataInterval,
    *,
    lake: Lake,
    chaos: Chaos = no_chaos,
) -> dict[str, int]:
    """The number of rows written by table name: where nothing was delivered, 0, and what lay there is removed.

    Raises TransformError if the interval is off the grid or some SQL does not run.
    """
    contract = transforms.contract
    if interval.start != contract.floor(interval.start) or interval.end != contract.floor(interval.end):
        raise TransformError(f"{contract.name}: {interval} must begin and end on the grid, every {contract.step}")
    with change(lake, use_case_group(contract.name), chaos) as changed, ExitStack() as stack:
        silver = {source.name: stack.enter_context(lake.open(source_group(source.name))) for source in sources}
        logs = compute_change_logs(transforms, sources, interval, silver)
        chaos("computed")
        logs |= compute_outcomes(transforms, sources, interval, silver)
        for table in (*(change_log(view, contract.lag) for view in contract.views), *OUTCOMES):
            changed.replace(table, logs[table.name], interval)
    return {name.removeprefix(view_table("")): rows.num_rows for name, rows in logs.items()}


def change_log(view: FeatureViewContract, lag: timedelta) -> IntervalTable:
    return IntervalTable(name=view_table(view.name), partitioned_by="available_at", interval_by="instant", lag=lag)


def compute_change_logs(
    transforms: Transforms, sources: Sequence[Source], interval: DataInterval, silver: Silver
) -> dict[str, pa.Table]:
    def compute_chunk(chunk: DataInterval) -> Mapping[str, pa.Table]:
        return compute_change_log(transforms, sources, chunk, silver)

    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as threads:
        parts = [*threads.map(compute_chunk, chunks(interval, transforms.contract.step * MAX_INSTANTS))]
    return {
        view_table(view.name): with_time_zone(pa.concat_tables([part[view.name] for part in parts]))
        for view in transforms.contract.views
    }


def compute_change_log(
    transforms: Transforms, sources: Sequence[Source], chunk: DataInterval, silver: Silver
) -> dict[str, pa.Table]:
    """Of every view, computed with the instant before, so that the chunk's first rows have something to differ from."""
    contract, connection = transforms.contract, open_engine(threads=1)
    load_silver(connection, transforms, sources, chunk, silver)
    rows_by_view = compute(connection, transforms, [chunk.start - contract.step, *grid(chunk, contract.step)])
    logs = {}
    for view in contract.views:
        connection.register("dense", rows_by_view[view.name])
        logs[view.name] = connection.execute(changes(view, chunk, contract.step, contract.lag)).to_arrow_table()
        connection.unregister("dense")
    return logs


def compute_outcomes(
    transforms: Transforms, sources: Sequence[Source], interval: DataInterval, silver: Silver
) -> dict[str, pa.Table]:
    connection = open_engine(threads=1)
    load_silver(connection, transforms, sources, interval, silver)
    tables = {}
    for table in OUTCOMES:
        name = table.name
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
    silver: Silver,
) -> None:
    """What had been delivered before the interval's end and can still matter to its instants."""
    oldest = interval.start - transforms.contract.step - transforms.history
    for source in sources:
        rows = read_silver(source, silver[source.name], DataInterval(start=oldest, end=interval.end))
        load_source(connection, source.name, rows, transforms.contract.step)


def read_silver(source: Source, silver: Snapshot, interval: DataInterval) -> pa.Table:
    rows = silver.read(SILVER, source.schema.names, days=days_between(interval.start, interval.end))
    held = pa.concat_tables([source.schema.empty_table(), rows], promote_options="default")
    return between(held, DELIVERED_AT, interval)


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
