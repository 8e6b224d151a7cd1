"""The quality score of each ingested interval, in the database, where monitoring and people read it.

The score is the share of delivered rows that were not quarantined; a refused interval is marked `failed` with the
sentence that said why.
"""

import json

from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, select, tuple_

from feature_repo.contracts.base import DataInterval, UseCase
from feature_repo.validation import Report
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, upsert, writing
from infra.database.schema import quality


def record(connection: Connection, use_case: str, source: str, interval: DataInterval, report: Report) -> None:
    """In the transaction in which the interval's rows become visible."""
    details = {
        "rows_by_rule": dict(report.rows_by_rule),
        "repeats": report.num_repeats,
        "warnings": list(report.warnings),
    }
    counts = (report.num_rows, report.num_quarantined, report.num_warned, report.score, 0)
    replace(connection, use_case, source, interval, counts, details)


def record_failure(database: str, use_case: str, source: str, interval: DataInterval, reason: str) -> None:
    with writing(database) as connection:
        replace(connection, use_case, source, interval, (0, 0, 0, 0.0, 1), {"reason": reason})


def replace(
    connection: Connection,
    use_case: str,
    source: str,
    interval: DataInterval,
    counts: tuple[int, int, int, float, int],
    details: dict[str, object],
) -> None:
    """One row per interval: a rerun replaces what the run before it found."""
    num_rows, num_quarantined, num_warned, score, failed = counts
    row = {
        "use_case": use_case,
        "source": source,
        "interval_start": to_microseconds(interval.start),
        "interval_end": to_microseconds(interval.end),
        "num_rows": num_rows,
        "num_quarantined": num_quarantined,
        "num_warned": num_warned,
        "score": score,
        "failed": failed,
        "details": json.dumps(details, sort_keys=True),
    }
    upsert(connection, quality, row)


def ingested(database: str, owner: str, source: str) -> list[DataInterval]:
    """What its owner ingested of a source without refusing it, joined where it adjoins, oldest first."""
    columns = quality.c
    query = (
        select(columns.interval_start, columns.interval_end)
        .where(columns.use_case == owner, columns.source == source, columns.failed == 0)
        .order_by(columns.interval_start)
    )
    with reading(database) as connection:
        rows = connection.execute(query).all()
    spans: list[list[int]] = []
    for start, end in rows:
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    return [DataInterval(start=from_microseconds(start), end=from_microseconds(end)) for start, end in spans]


def table_of(database: str, use_case: UseCase) -> Table:
    """The intervals of the use case's sources, its own and those that it reads, oldest first, for a person to read."""
    table = Table(title=f"Quality of {use_case.name}")
    for name in ("source", "start", "end"):
        table.add_column(name)
    for name in ("rows", "quarantined", "warned", "score"):
        table.add_column(name, justify="right")
    table.add_column("broken rules, or why it was refused", overflow="fold")
    owners = use_case.owner_by_source.items()
    query = select(quality).where(tuple_(quality.c.source, quality.c.use_case).in_(owners))
    with reading(database) as connection:
        rows = connection.execute(query.order_by(quality.c.interval_start, quality.c.source)).all()
    for row in rows:
        parsed = json.loads(row.details)
        counts = [f"{rule} {number}" for rule, number in parsed.get("rows_by_rule", {}).items()]
        found = parsed["reason"] if row.failed else ", ".join([*counts, *parsed["warnings"]])
        times = (f"{from_microseconds(moment):%Y-%m-%d %H:%M}" for moment in (row.interval_start, row.interval_end))
        numbers = map(str, (row.num_rows, row.num_quarantined, row.num_warned))
        table.add_row(row.source, *times, *numbers, "refused" if row.failed else f"{row.score:.4f}", Text(found))
    return table
