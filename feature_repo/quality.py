"""The quality score of each ingested interval, in the database, where monitoring and people read it.

The score is the share of delivered rows that were not quarantined; a refused interval is marked `failed` with the
sentence that said why.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_

from feature_repo.contracts.base import DataInterval, UseCase
from feature_repo.validation import Report
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, upsert, writing
from infra.database.schema import quality

NUMBERS = range(3, 6)  # of a line's columns


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


def lines_of(database: str, use_case: UseCase) -> list[str]:
    """The intervals of the use case's sources, its own and those that it reads, oldest first, for a person to read.

    One line of columns each, narrow enough for a terminal: rows delivered, bad ones (in quarantine), warned ones. Below
    it stands which rules were broken, or why it was refused.
    """
    query = select(quality).where(tuple_(quality.c.source, quality.c.use_case).in_(use_case.owner_by_source.items()))
    with reading(database) as connection:
        rows = connection.execute(query.order_by(quality.c.interval_start, quality.c.source)).all()
    if not rows:
        return [f"{use_case.name}: no interval was ingested yet"]
    header = ("source", "start", "end", "rows", "bad", "warned", "score")
    cells = [header, *map(cells_of, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [in_columns(each, widths) for each in cells]
    findings = ["", *map(findings_of, rows)]
    return [text for line, found in zip(lines, findings, strict=True) for text in (line, found) if text]


def cells_of(row: Row[Any]) -> tuple[str, ...]:
    times = (f"{from_microseconds(moment):%Y-%m-%d %H:%M}" for moment in (row.interval_start, row.interval_end))
    numbers = map(str, (row.num_rows, row.num_quarantined, row.num_warned))
    return (row.source, *times, *numbers, "refused" if row.failed else f"{row.score:.4f}")


def in_columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, names, times and the score to the left."""
    aligned = (
        cell.rjust(width) if place in NUMBERS else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()


def findings_of(row: Row[Any]) -> str:
    details = json.loads(row.details)
    if row.failed:
        return f"    {details['reason']}"
    counts = [f"{rule} {number}" for rule, number in details["rows_by_rule"].items()]
    found = ", ".join([*counts, *details["warnings"]])
    return f"    {found}" if found else ""
