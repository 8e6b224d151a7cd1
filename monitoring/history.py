"""What the page and the metrics show: results, incidents, trainings, releases and quality, read from the control
database; and the five numbers that come out of the loop.

Read anew for each request, because the commands that write it are other processes.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from feature_repo.contracts import lake
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import Cause, TrainingState
from infra.quoting import read_only_uri
from monitoring.incidents import make_tables, num_unclaimed
from monitoring.results import Result, read_results

ALARMS = (Cause.PERFORMANCE, Cause.DRIFT)
# A promotion's failures are those sent from the alias being set until this long after the new version answered.
SETTLING_MICROSECONDS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class IncidentRow:
    incident_id: str
    alert_group: str
    severity: str
    cause: str
    opened_at: int
    opened_at_wall: int
    state: str
    reason: str
    outcome: str
    training_id: str | None
    model_version: str | None


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    training_id: str
    state: str
    admitted_at: int
    model_version: str | None
    reason: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class ReleaseRow:
    model_version: str
    training_id: str | None
    set_by: str
    alias_set_at_wall: int
    served_at_wall: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    source: str
    interval_start: int
    interval_end: int
    num_rows: int
    num_quarantined: int
    score: float
    failed: int


@dataclass(frozen=True, kw_only=True)
class History:
    use_case: str
    results: list[tuple[DataInterval, Result]]
    incidents: list[IncidentRow]
    trainings: list[TrainingRow]
    releases: list[ReleaseRow]
    quality: list[QualityRow]
    num_waiting: int
    paused: bool


Row = TypeVar("Row")


def read_rows(
    connection: sqlite3.Connection, make: Callable[..., Row], table: str, *, use_case: str, order: str
) -> list[Row]:
    """Rows of a table as the dataclass whose fields name its columns."""
    names = [field.name for field in fields(make)]  # type: ignore[arg-type]
    query = f"SELECT {', '.join(names)} FROM {table} WHERE use_case = ? ORDER BY {order}"
    return [make(**dict(zip(names, values, strict=True))) for values in connection.execute(query, (use_case,))]


def read_history(database: Path, use_case: str) -> History:
    """Everything of a use case, oldest first; empty where nothing was set up yet."""
    make_tables(database)
    results = read_results(database, use_case)
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        paused = connection.execute("SELECT paused FROM switches WHERE use_case = ?", (use_case,)).fetchone()
        return History(
            use_case=use_case,
            results=results,
            incidents=read_rows(connection, IncidentRow, "incidents", use_case=use_case, order="opened_at_wall"),
            trainings=read_rows(connection, TrainingRow, "trainings", use_case=use_case, order="admitted_at_wall"),
            releases=read_rows(connection, ReleaseRow, "releases", use_case=use_case, order="alias_set_at_wall"),
            quality=read_rows(connection, QualityRow, "quality", use_case=use_case, order="interval_start"),
            num_waiting=num_unclaimed(database, use_case),
            paused=bool(paused and paused[0]),
        )


def failures_seen_by_client(root: Path) -> list[int] | None:
    """When a client that keeps a ledger sent the requests that failed, wall microseconds; None without a ledger."""
    ledger = root / "ledger.db"
    if not ledger.exists():
        return None
    with closing(sqlite3.connect(read_only_uri(ledger), uri=True, timeout=30)) as connection:
        return [row[0] for row in connection.execute("SELECT sent_at_wall FROM requests WHERE failure IS NOT NULL")]


def mismatches_found(root: Path, use_case: str) -> int | None:
    """Of the last parity run; None if there was none."""
    path = lake.parity_report(root, use_case)
    return int(json.loads(path.read_text())["mismatched"]) if path.exists() else None


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The five numbers; None where nothing has happened yet that they could be made of."""

    alarm_to_serving_seconds: float | None
    failed_requests_per_promotion: float | None
    num_false_alarms: int
    false_alarms_budgeted: float
    num_mismatches: int | None
    retrainings_that_won_share: float | None


def numbers_of(history: History, *, failed_at_wall: list[int] | None, num_mismatches: int | None) -> Numbers:
    """An alarm is called false if the training that it started ended without a better version.

    `failed_at_wall` are the failed requests that a client saw, None if no client keeps a ledger.
    """
    asked = {row.training_id for row in history.incidents if row.cause in ALARMS and row.training_id}
    ended = [row for row in history.trainings if row.training_id in asked and row.state != TrainingState.OPEN]
    won = [row for row in ended if row.state == TrainingState.PASSED]
    lost = [row for row in ended if row.state == TrainingState.GATE_REFUSED]
    waits = [wait for release in history.releases if (wait := wait_of(release, history)) is not None]
    promotions = [row for row in history.releases if row.served_at_wall is not None]
    failures = None
    if failed_at_wall is not None and promotions:
        failures = sum(failed_during(row, failed_at_wall) for row in promotions) / len(promotions)
    return Numbers(
        alarm_to_serving_seconds=sorted(waits)[len(waits) // 2] if waits else None,
        failed_requests_per_promotion=failures,
        num_false_alarms=len(lost),
        false_alarms_budgeted=sum(result.alarm_budget for _, result in history.results),
        num_mismatches=num_mismatches,
        retrainings_that_won_share=len(won) / (len(won) + len(lost)) if won or lost else None,
    )


def wait_of(release: ReleaseRow, history: History) -> float | None:
    """Wall seconds from the first alarm that asked for this release's training to the version answering."""
    opened = [
        row.opened_at_wall
        for row in history.incidents
        if row.training_id is not None and row.training_id == release.training_id and row.cause in ALARMS
    ]
    if release.served_at_wall is None or not opened:
        return None
    return (release.served_at_wall - min(opened)) / 1e6


def failed_during(release: ReleaseRow, failed_at_wall: list[int]) -> int:
    assert release.served_at_wall is not None
    end = release.served_at_wall + SETTLING_MICROSECONDS
    return sum(release.alias_set_at_wall <= at <= end for at in failed_at_wall)
