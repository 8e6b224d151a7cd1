"""One interval of one source, from its deliveries to the lake: bronze as delivered, silver clean, bad rows quarantined.

Idempotent by interval: what the interval held before is replaced, so a rerun or a backfill of the same deliveries gives
the same rows. Everything is read and judged before anything is written, and the three tables change together.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from feature_repo import landing, quality, silver
from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.base import JOINT, DataInterval
from feature_repo.errors import FeatureRepoError
from feature_repo.lake import WAIT, Change, IntervalTable, change
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.validation import Engine, Report, check, connect, open_references, refuse_if_defective, tables_of
from infra.lake import BRONZE, QUARANTINE, SILVER, Lake, Snapshot, source_group


def ingest(
    use_case: str,
    source: Source,
    interval: DataInterval,
    *,
    lake: Lake,
    engine: Engine,
    chaos: Chaos = no_chaos,
    wait: timedelta = WAIT,
) -> Report:
    """Raises FeatureRepoError, the lake unchanged and the interval's quality recorded as failed, if it is refused.

    The interval's rows and its quality become visible together.
    """
    with change(lake, source_group(source.name), chaos, wait=wait) as changed:
        connection = connect()
        try:
            report = judge(connection, use_case, source, interval, lake.root, changed.base, engine)
        except FeatureRepoError as error:
            quality.record_failure(lake.database, use_case, source.name, interval, str(error))
            raise
        chaos("validated")
        write(connection, source, interval, changed)
        changed.when_named(lambda naming: quality.record(naming, use_case, source.name, interval, report))
    return report


def judge(
    connection: duckdb.DuckDBPyConnection,
    use_case: str,
    source: Source,
    interval: DataInterval,
    data_dir: Path,
    held: Snapshot,
    engine: Engine,
) -> Report:
    """Read and check the interval's deliveries. Raises FeatureRepoError if the interval is to be refused."""
    tables = tables_of(source)
    open_references(connection, source, use_case, data_dir)
    files = landing.deliveries(data_dir, source.name, interval)
    landing.load(connection, source, files, interval, tables.delivered)
    open_earlier(connection, source, interval, held)
    report = check(connection, source, engine=engine, known=f"{source.name}{JOINT}earlier")
    refuse_if_defective(connection, source, interval, report)
    warnings = (silence(connection, source, interval), repeats_later(connection, source, interval, held))
    return replace(report, warnings=tuple(warning for warning in warnings if warning))


def open_earlier(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, held: Snapshot) -> None:
    """`<source>__earlier`: silver rows delivered before the interval whose keys it delivers again."""
    delivered = tables_of(source).delivered
    rows = silver.rows_of_keys(connection, source, held, delivered, newest_from=keys_kept_from(source, interval))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {source.name}{JOINT}earlier AS SELECT {', '.join(source.columns)} "
        f"FROM {rows or f'(FROM {delivered} LIMIT 0)'} WHERE {DELIVERED_AT} < ?",
        [interval.start],
    )


def keys_kept_from(source: Source, interval: DataInterval) -> date:
    return (interval.start - source.keys_kept).date()


def silence(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval) -> str:
    """A sentence if the source fell silent well before the interval's end; else nothing."""
    ((newest,),) = connection.sql(f"SELECT max({DELIVERED_AT}) FROM {tables_of(source).delivered}").fetchall()
    silent = interval.end - newest
    if silent <= source.longest_silence:
        return ""
    return f"silent for {silent} before the interval's end (at most {source.longest_silence} is usual): is it running?"


def repeats_later(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, held: Snapshot) -> str:
    """A sentence if intervals ingested before this one, though later in time, hold keys that are first here."""
    clean = tables_of(source).clean
    rows = silver.rows_of_keys(connection, source, held, clean, newest_from=keys_kept_from(source, interval))
    if rows is None:
        return ""
    ((number, first),) = connection.execute(
        f"SELECT count(*), min({DELIVERED_AT}) FROM {rows} WHERE {DELIVERED_AT} >= ?", [interval.end]
    ).fetchall()
    return f"{number} later rows repeat these: ingest the intervals from {first} on again" if number else ""


def write(connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, changed: Change) -> None:
    tables = tables_of(source)
    queries = {
        BRONZE: f"SELECT * EXCLUDE (row) FROM {tables.delivered} ORDER BY row",
        SILVER: f"SELECT * FROM {tables.clean} ORDER BY {DELIVERED_AT}, {', '.join(source.key)}",
        QUARANTINE: f"SELECT * EXCLUDE (row) FROM {tables.quarantined} ORDER BY row",
    }
    for name, query in queries.items():
        table = IntervalTable(name=name, partitioned_by=DELIVERED_AT, interval_by=DELIVERED_AT, bounds=(source.time,))
        changed.replace(table, connection.sql(query).to_arrow_table(), interval)
