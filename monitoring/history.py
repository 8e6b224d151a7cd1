"""What the page and the metrics show: results, incidents, trainings, releases and quality, read from the database;
and the five numbers that come out of the loop.

Read anew for each request, because the commands that write it are other processes.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Table, select

from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import Cause, TrainingState
from infra.database import reading, schema
from infra.quoting import read_only_uri
from monitoring.incidents import count_unclaimed
from monitoring.results import Result, results_of

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
SentRequest = tuple[int, int]
"""When it was sent, in wall microseconds, and 1 if it failed."""


def read_rows(
    connection: Connection, make: Callable[..., Row], table: Table, *, use_case: str, order: str
) -> list[Row]:
    """Rows of a table as the dataclass whose fields name its columns."""
    columns = [table.c[field.name] for field in fields(make)]  # type: ignore[arg-type]
    query = select(*columns).where(table.c.use_case == use_case).order_by(table.c[order])
    return [make(**row) for row in connection.execute(query).mappings()]


def read_history(database: str, use_case: str) -> History:
    """Everything of a use case at one moment, oldest first."""
    switches = schema.switches.c
    with reading(database) as connection:
        paused = connection.execute(select(switches.paused).where(switches.use_case == use_case)).scalar()
        return History(
            use_case=use_case,
            results=results_of(connection, use_case),
            incidents=read_rows(connection, IncidentRow, schema.incidents, use_case=use_case, order="opened_at_wall"),
            trainings=read_rows(connection, TrainingRow, schema.trainings, use_case=use_case, order="admitted_at_wall"),
            releases=read_rows(connection, ReleaseRow, schema.releases, use_case=use_case, order="alias_set_at_wall"),
            quality=read_rows(connection, QualityRow, schema.quality, use_case=use_case, order="interval_start"),
            num_waiting=count_unclaimed(connection, use_case),
            paused=bool(paused),
        )


def requests_seen_by_client(root: Path, releases: list[ReleaseRow]) -> list[SentRequest]:
    """What a client that keeps a ledger sent while versions took over; none without a ledger."""
    ledger = root / "ledger.db"
    if not ledger.exists():
        return []
    query = "SELECT sent_at_wall, failure IS NOT NULL FROM requests WHERE sent_at_wall BETWEEN ? AND ?"
    spans = [span for release in releases if (span := span_of(release)) is not None]
    with closing(sqlite3.connect(read_only_uri(ledger), uri=True, timeout=30)) as connection:
        return [request for span in spans for request in connection.execute(query, span)]


def mismatches_found(root: Path, use_case: str) -> int | None:
    """Of the last parity run; None if there was none, or none that compared anything."""
    path = folders.parity_report(root, use_case)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return int(found["mismatched"]) if found["compared"] else None


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The five numbers; None where nothing has happened yet that they could be made of."""

    alarm_to_serving_seconds: float | None
    failed_requests_per_promotion: float | None
    num_false_alarms: int | None
    false_alarms_budgeted: float | None
    num_mismatches: int | None
    retrainings_that_won_share: float | None


def numbers_of(history: History, *, requests: list[SentRequest], num_mismatches: int | None) -> Numbers:
    """An alarm is called false if the training that it started ended without a better version.

    A window adds the budget of what was judged in it; one with nothing judged is not counted. `requests` are those that
    a client sent: if it sent none while versions took over, nothing is known about failures.
    """
    judged = [result for _, result in history.results if result.alarm_budget]
    asked = {row.training_id for row in history.incidents if row.cause in ALARMS and row.training_id}
    ended = [row for row in history.trainings if row.training_id in asked and row.state != TrainingState.OPEN]
    won = [row for row in ended if row.state == TrainingState.PASSED]
    lost = [row for row in ended if row.state == TrainingState.GATE_REFUSED]
    waits = [wait for release in history.releases if (wait := wait_of(release, history)) is not None]
    promotions = [row for row in history.releases if row.served_at_wall is not None]
    outcomes = [outcomes_during(row, requests) for row in promotions]
    return Numbers(
        alarm_to_serving_seconds=sorted(waits)[len(waits) // 2] if waits else None,
        failed_requests_per_promotion=sum(map(sum, outcomes)) / len(promotions) if any(outcomes) else None,
        num_false_alarms=len(lost) if judged or ended else None,
        false_alarms_budgeted=sum(result.alarm_budget for result in judged) if judged else None,
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


def outcomes_during(release: ReleaseRow, requests: list[SentRequest]) -> list[int]:
    """Of each request sent while the version took over: 1 if it failed."""
    begin, end = span_of(release) or (1, 0)
    return [failed for at, failed in requests if begin <= at <= end]


def span_of(release: ReleaseRow) -> tuple[int, int] | None:
    """From when the alias was set until shortly after the version served; None if it was never seen to serve."""
    if release.served_at_wall is None:
        return None
    return release.alias_set_at_wall, release.served_at_wall + SETTLING_MICROSECONDS
