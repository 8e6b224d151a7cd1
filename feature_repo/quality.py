"""The quality score of each ingested interval, in the control database, where monitoring and people read it.

The score is the share of delivered rows that were not quarantined; a refused interval is marked `failed` with the
sentence that said why.
"""

import json
from pathlib import Path

from rich.table import Table
from rich.text import Text

from feature_repo.contracts.base import DataInterval, UseCase
from feature_repo.contracts.control import control
from feature_repo.validation import Report
from infra.clock import from_microseconds, to_microseconds


def record(database: Path, use_case: str, source: str, interval: DataInterval, report: Report) -> None:
    details = {
        "rows_by_rule": dict(report.rows_by_rule),
        "repeats": report.num_repeats,
        "warnings": list(report.warnings),
    }
    counts = (report.num_rows, report.num_quarantined, report.num_warned, report.score, 0)
    upsert(database, use_case, source, interval, counts, details)


def record_failure(database: Path, use_case: str, source: str, interval: DataInterval, reason: str) -> None:
    upsert(database, use_case, source, interval, (0, 0, 0, 0.0, 1), {"reason": reason})


def upsert(
    database: Path,
    use_case: str,
    source: str,
    interval: DataInterval,
    counts: tuple[int, int, int, float, int],
    details: dict[str, object],
) -> None:
    """One row per interval: a rerun replaces what the run before it found."""
    identity = (use_case, source, to_microseconds(interval.start), to_microseconds(interval.end))
    with control(database) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO quality (use_case, source, interval_start, interval_end, "
            "num_rows, num_quarantined, num_warned, score, failed, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, *counts, json.dumps(details, sort_keys=True)),
        )


def ingested(database: Path, owner: str, source: str) -> list[DataInterval]:
    """What its owner ingested of a source without refusing it, joined where it adjoins, oldest first."""
    with control(database) as connection:
        rows = connection.execute(
            "SELECT interval_start, interval_end FROM quality WHERE use_case = ? AND source = ? AND failed = 0 "
            "ORDER BY interval_start",
            (owner, source),
        ).fetchall()
    spans: list[list[int]] = []
    for start, end in rows:
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    return [DataInterval(start=from_microseconds(start), end=from_microseconds(end)) for start, end in spans]


def table_of(database: Path, use_case: UseCase) -> Table:
    """The intervals of the use case's sources, its own and those that it reads, oldest first, for a person to read."""
    table = Table(title=f"Quality of {use_case.name}")
    for name in ("source", "start", "end"):
        table.add_column(name)
    for name in ("rows", "quarantined", "warned", "score"):
        table.add_column(name, justify="right")
    table.add_column("broken rules, or why it was refused", overflow="fold")
    owners = [value for pair in use_case.owner_by_source.items() for value in pair]
    with control(database) as connection:
        rows = connection.execute(
            "SELECT source, interval_start, interval_end, num_rows, num_quarantined, num_warned, score, failed, "
            f"details FROM quality WHERE {' OR '.join(['source = ? AND use_case = ?'] * (len(owners) // 2))} "
            "ORDER BY interval_start, source",
            owners,
        ).fetchall()
    for source, start, end, num_rows, quarantined, warned, score, failed, details in rows:
        parsed = json.loads(details)
        counts = [f"{rule} {number}" for rule, number in parsed.get("rows_by_rule", {}).items()]
        found = parsed["reason"] if failed else ", ".join([*counts, *parsed["warnings"]])
        times = (f"{from_microseconds(moment):%Y-%m-%d %H:%M}" for moment in (start, end))
        verdict = "refused" if failed else f"{score:.4f}"
        table.add_row(source, *times, str(num_rows), str(quarantined), str(warned), verdict, Text(found))
    return table
