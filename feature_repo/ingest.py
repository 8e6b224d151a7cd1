"""One interval of one source, from its deliveries to the lake: bronze as delivered, silver clean, bad rows quarantined.

Idempotent by interval: what the interval held before is replaced, so a rerun or a backfill of the same deliveries gives
the same bytes. Everything is read and judged before anything is written, and the three tables change in one commit.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import landing, quality
from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts import lake
from feature_repo.contracts.base import JOINT, DataInterval
from feature_repo.errors import FeatureRepoError, LakeBusyError
from feature_repo.lake import Transaction, partition, partitions, read, transaction
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.validation import Engine, Report, check, connect, open_references, refuse_if_defective, tables_of
from infra.quoting import parquet_files


def ingest(
    use_case: str,
    source: Source,
    interval: DataInterval,
    *,
    data_dir: Path,
    control_database: Path,
    engine: Engine,
    chaos: Chaos = no_chaos,
) -> Report:
    """Raises FeatureRepoError, the lake unchanged and the interval's quality recorded as failed, if it is refused."""
    tables = [layer(data_dir, source.name) for layer in (lake.bronze, lake.silver, lake.quarantine)]
    try:
        with transaction(data_dir, source.name, tables, chaos) as change:
            connection = connect()
            report = judge(connection, use_case, source, interval, data_dir, engine)
            chaos("validated")
            write(connection, source, interval, change)
    except LakeBusyError:
        raise
    except FeatureRepoError as error:
        quality.record_failure(control_database, use_case, source.name, interval, str(error))
        raise
    quality.record(control_database, use_case, source.name, interval, report)
    return report


def judge(
    connection: duckdb.DuckDBPyConnection,
    use_case: str,
    source: Source,
    interval: DataInterval,
    data_dir: Path,
    engine: Engine,
) -> Report:
    """Read and check the interval's deliveries. Raises FeatureRepoError if the interval is to be refused."""
    tables = tables_of(source)
    open_references(connection, source, use_case, data_dir)
    files = landing.deliveries(data_dir, source.name, interval)
    landing.load(connection, source, files, interval, tables.delivered)
    open_earlier(connection, source, interval, data_dir)
    report = check(connection, source, engine=engine, known=f"{source.name}{JOINT}earlier")
    refuse_if_defective(connection, source, interval, report)
    warnings = (silence(connection, source, interval), repeats_later(connection, source, interval, data_dir))
    return replace(report, warnings=tuple(warning for warning in warnings if warning))


def open_earlier(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, data_dir: Path) -> None:
    """`<source>__earlier`: silver rows delivered before the interval whose keys it delivers again."""
    name, key = f"{source.name}{JOINT}earlier", ", ".join(source.key)
    files = partitions(lake.silver(data_dir, source.name))
    silver = parquet_files(*files) if files else f"(FROM {tables_of(source).delivered} LIMIT 0)"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {', '.join(source.columns)} FROM {silver} "
        f"SEMI JOIN {tables_of(source).delivered} USING ({key}) WHERE {DELIVERED_AT} < ?",
        [interval.start],
    )


def silence(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval) -> str:
    """A sentence if the source fell silent well before the interval's end; else nothing."""
    ((newest,),) = connection.sql(f"SELECT max({DELIVERED_AT}) FROM {tables_of(source).delivered}").fetchall()
    silent = interval.end - newest
    if silent <= source.longest_silence:
        return ""
    return f"silent for {silent} before the interval's end (at most {source.longest_silence} is usual): is it running?"


def repeats_later(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, data_dir: Path) -> str:
    """A sentence if intervals ingested before this one, though later in time, hold keys that are first here."""
    files = partitions(lake.silver(data_dir, source.name))
    if not files:
        return ""
    ((number, first),) = connection.execute(
        f"SELECT count(*), min({DELIVERED_AT}) FROM {parquet_files(*files)} "
        f"SEMI JOIN {tables_of(source).clean} USING ({', '.join(source.key)}) WHERE {DELIVERED_AT} >= ?",
        [interval.end],
    ).fetchall()
    return f"{number} later rows repeat these: ingest the intervals from {first} on again" if number else ""


def write(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, change: Transaction) -> None:
    """Stage each of the interval's days; a day that the interval covers in part keeps its other rows."""
    tables = tables_of(source)
    queries = (
        f"SELECT * EXCLUDE (row) FROM {tables.delivered} ORDER BY row",
        f"SELECT * FROM {tables.clean} ORDER BY {DELIVERED_AT}, {', '.join(source.key)}",
        f"SELECT * EXCLUDE (row) FROM {tables.quarantined} ORDER BY row",
    )
    for table, query in zip(change.tables, queries, strict=True):
        rows = connection.sql(query).to_arrow_table()
        for day in days_of(interval):
            change.write(table, day, with_rest_of_day(rows_of_day(rows, day), partition(table, day), interval))


def days_of(interval: DataInterval) -> Iterator[date]:
    day, last = interval.start.date(), (interval.end - timedelta(microseconds=1)).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def rows_of_day(rows: pa.Table, day: date) -> pa.Table:
    """Rows are sorted by `delivered_at`, so a day's are a slice."""
    start = datetime.combine(day, time(), UTC)
    return between(rows, start, start + timedelta(days=1))


def between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = rows[DELIVERED_AT]
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start, times.type)), pc.less(times, pa.scalar(end, times.type)))
    return rows.filter(inside)


def with_rest_of_day(rows: pa.Table, path: Path, interval: DataInterval) -> pa.Table:
    """`rows`, between what the day's partition holds from before and from after the interval."""
    if not path.exists():
        return rows
    held = read(path)
    before = between(held, datetime.min.replace(tzinfo=UTC), interval.start)
    after = between(held, interval.end, datetime.max.replace(tzinfo=UTC))
    return pa.concat_tables([before, rows, after])
