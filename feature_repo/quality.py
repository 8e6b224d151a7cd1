"""The quality score of each ingested interval, in the control database, where monitoring and people read it.

The score is the share of delivered rows that were not quarantined; a refused interval is marked `failed` with the
sentence that said why.
"""

import json

from rich.table import Table
from rich.text import Text

from feature_repo.contracts.base import DataInterval
from feature_repo.validation import Report
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, writing


def record(database: str, use_case: str, source: str, interval: DataInterval, report: Report) -> None:
    details = {
        "rows_by_rule": dict(report.rows_by_rule),
        "repeats": report.num_repeats,
        "warnings": list(report.warnings),
    }
    counts = (report.num_rows, report.num_quarantined, report.num_warned, report.score, 0)
    upsert(database, use_case, source, interval, counts, details)


def record_failure(database: str, use_case: str, source: str, interval: DataInterval, reason: str) -> None:
    upsert(database, use_case, source, interval, (0, 0, 0, 0.0, 1), {"reason": reason})


def upsert(
    database: str,
    use_case: str,
    source: str,
    interval: DataInterval,
    counts: tuple[int, int, int, float, int],
    details: dict[str, object],
) -> None:
    """One row per interval: a rerun replaces what the run before it found."""
    identity = (use_case, source, to_microseconds(interval.start), to_microseconds(interval.end))
    with writing(database) as connection:
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO quality (use_case, source, interval_start, interval_end, "
            "num_rows, num_quarantined, num_warned, score, failed, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, *counts, json.dumps(details, sort_keys=True)),
        )


def table_of(database: str, use_case: str) -> Table:
    """The use case's intervals, oldest first, for a person to read."""
    table = Table(title=f"Quality of {use_case}")
    for name in ("source", "start", "end"):
        table.add_column(name)
    for name in ("rows", "quarantined", "warned", "score"):
        table.add_column(name, justify="right")
    table.add_column("broken rules, or why it was refused", overflow="fold")
    with reading(database) as connection:
        rows = connection.exec_driver_sql(
            "SELECT source, interval_start, interval_end, num_rows, num_quarantined, num_warned, score, failed, "
            "details FROM quality WHERE use_case = ? ORDER BY interval_start, source",
            (use_case,),
        ).fetchall()
    for source, start, end, num_rows, quarantined, warned, score, failed, details in rows:
        parsed = json.loads(details)
        counts = [f"{rule} {number}" for rule, number in parsed.get("rows_by_rule", {}).items()]
        found = parsed["reason"] if failed else ", ".join([*counts, *parsed["warnings"]])
        times = (f"{from_microseconds(moment):%Y-%m-%d %H:%M}" for moment in (start, end))
        verdict = "refused" if failed else f"{score:.4f}"
        table.add_row(source, *times, str(num_rows), str(quarantined), str(warned), verdict, Text(found))
    return table
