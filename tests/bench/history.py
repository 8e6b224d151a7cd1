"""Lakes that are years old: real rows of some time at earlier times too, written by the writer that the platform has.

A time is moved with all others of its row, keys among them, so nothing repeats. The last days come one by one, as they
do in operation; what was before them comes by years, and the log has its checkpoints.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from rich.progress import track

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.gold import between, change_log
from feature_repo.lake import IntervalTable, change
from feature_repo.sources import DELIVERED_AT
from feature_repo.use_cases.flight_delay import FLIGHTS
from infra.lake import BRONZE, QUARANTINE, SILVER, Snapshot, source_group, use_case_group
from tests.feature_repo import landed

DAY = timedelta(days=1)
BEGIN = datetime(2013, 1, 1, tzinfo=UTC)
REAL = DataInterval(start=BEGIN, end=BEGIN + 52 * 7 * DAY)  # whole weeks: a Monday stays one
YEAR = 365 * DAY
DAYS_ONE_BY_ONE = 60
ROWS_OF_A_BAD_ONE = 100


def cut(start: datetime, end: datetime, length: timedelta) -> Iterator[DataInterval]:
    while start < end:
        yield DataInterval(start=start, end=min(start + length, end))
        start += length


def moved(rows: pa.Table, by: timedelta) -> pa.Table:
    for field in rows.schema:
        if pa.types.is_timestamp(field.type):
            rows = landed.shift(rows, field.name, by)
    return rows


def repeated(rows: pa.Table, column: str, real: DataInterval, wanted: DataInterval) -> pa.Table:
    """What `wanted` would hold if the rows of `real` had also come again and again before it."""
    length, parts = real.end - real.start, [rows.slice(0, 0)]
    for number in range((real.end - wanted.start) // length, -1, -1):
        by = number * length
        start, end = max(real.start, wanted.start + by), min(real.end, wanted.end + by)
        if start < end:
            parts.append(moved(between(rows, column, DataInterval(start=start, end=end)), -by))
    return pa.concat_tables(parts)


def write_source(root: Path, rows: pa.Table, interval: DataInterval) -> None:
    """What an ingest of the interval leaves, had one row of a hundred been bad."""
    text = pa.array(["a"] * rows.num_rows)
    bronze = rows.append_column("delivery", text)
    quarantine = bronze
    for name in ("rule", "reason", "value", "broken"):
        quarantine = quarantine.append_column(name, text)
    quarantine = quarantine.take(pa.array(range(0, rows.num_rows, ROWS_OF_A_BAD_ONE)))
    with change(landed.lake_of(root), source_group(FLIGHTS.name)) as changed:
        for name, of_table in ((BRONZE, bronze), (SILVER, rows), (QUARANTINE, quarantine)):
            table = IntervalTable(
                name=name, partitioned_by=DELIVERED_AT, interval_by=DELIVERED_AT, bounds=(FLIGHTS.time,)
            )
            changed.replace(table, of_table, interval)


def make_source(root: Path, flights: pa.Table, num_days: int) -> Path:
    """The flights of as many days before the real ones; returns its folder."""
    landed.set_up(root)
    recent = BEGIN - DAYS_ONE_BY_ONE * DAY
    blocks = [*cut(BEGIN - num_days * DAY, recent, YEAR), *cut(recent, BEGIN, DAY)]
    for interval in track(blocks, f"{num_days} days of flights"):
        write_source(root, repeated(flights, DELIVERED_AT, REAL, interval), interval)
    return root


def make_gold(root: Path, gold: Snapshot, real: DataInterval, blocks: list[DataInterval]) -> None:
    """The change logs of all views over the blocks, of those of the `real` interval."""
    tables = [change_log(view, FLIGHT_DELAY.lag) for view in FLIGHT_DELAY.views]
    logs = {table.name: gold.read(table.name) for table in tables}
    for interval in track(blocks, f"change logs from {blocks[0].start:%Y-%m} on"):
        with change(landed.lake_of(root), use_case_group(FLIGHT_DELAY.name)) as changed:
            for table in tables:
                rows = repeated(logs[table.name], table.interval_by, real, interval)
                changed.replace(table, rows, interval)
