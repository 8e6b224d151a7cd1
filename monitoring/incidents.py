"""Alarms become incidents, one per episode, and those that ask for a training enter the inbox in the same transaction.

An episode begins with the first window that alarms and lasts until its incident is resolved or closed. A window that
alarms again adds nothing, except that a training which ended without a release is asked for once more.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import IncidentState, TrainingState, control, incident_id
from infra.clock import to_microseconds

if TYPE_CHECKING:  # the command that asks the inbox needs nothing of what judges
    from monitoring.decision import Alarm

ENDED = (IncidentState.RESOLVED, IncidentState.CLOSED)


@dataclass(frozen=True, kw_only=True)
class Incident:
    incident_id: str
    alert_group: str
    state: str
    asked: bool


def make_tables(path: Path) -> None:
    """So that readers of an installation that was never used find empty tables."""
    with control(path):
        pass


def ongoing(connection: sqlite3.Connection, use_case: str, group: str) -> Incident | None:
    row = connection.execute(
        "SELECT i.incident_id, i.alert_group, i.state, x.incident_id IS NOT NULL FROM incidents i "
        "LEFT JOIN inbox x USING (incident_id) "
        "WHERE i.use_case = ? AND i.alert_group = ? AND i.state NOT IN (?, ?) ORDER BY i.opened_at DESC LIMIT 1",
        (use_case, group, *ENDED),
    ).fetchone()
    if row is None:
        return None
    return Incident(incident_id=row[0], alert_group=row[1], state=row[2], asked=bool(row[3]))


def raise_alarm(
    connection: sqlite3.Connection,
    use_case: str,
    alarm: "Alarm",
    *,
    window: DataInterval,
    served_training: str,
    now: datetime,
    wall: datetime,
) -> str:
    """Open the alarm's incident or go on with the ongoing one; returns its id."""
    incident = ongoing(connection, use_case, alarm.group)
    if incident is None:
        identity = incident_id(use_case, alarm.group, window.end)
        connection.execute(
            "INSERT INTO incidents (incident_id, use_case, alert_group, severity, cause, opened_at, opened_at_wall, "
            "state, reason, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (incident_id) DO NOTHING",
            (
                identity,
                use_case,
                alarm.group,
                alarm.severity,
                alarm.cause,
                to_microseconds(now),
                to_microseconds(wall),
                IncidentState.OPEN,
                alarm.reason,
                to_microseconds(now),
            ),
        )
    else:
        identity = incident.incident_id
        connection.execute(
            "UPDATE incidents SET severity = MIN(severity, ?), reason = ?, updated_at = ? WHERE incident_id = ?",
            (alarm.severity, alarm.reason, to_microseconds(now), identity),
        )
    if alarm.retrain:
        ask_for_training(connection, use_case, identity, served_training=served_training, now=now)
    return identity


def ask_for_training(
    connection: sqlite3.Connection, use_case: str, identity: str, *, served_training: str, now: datetime
) -> None:
    """An inbox entry, unclaimed: new, or once more if what claimed it did not end the alarm.

    That is a training which gave no version, or one whose version serves, or served before, and the alarm goes on.
    """
    connection.execute(
        "INSERT INTO inbox (incident_id, use_case, requested_at, claimed_by) VALUES (?, ?, ?, NULL) "
        "ON CONFLICT (incident_id) DO NOTHING",
        (identity, use_case, to_microseconds(now)),
    )
    claimed_in_vain = connection.execute(
        "SELECT 1 FROM inbox x LEFT JOIN trainings t ON t.training_id = x.claimed_by "
        "LEFT JOIN trainings s ON s.training_id = ? "
        "WHERE x.incident_id = ? AND x.claimed_by IS NOT NULL AND x.requested_at < ? AND (t.training_id IS NULL "
        "OR t.state NOT IN (?, ?) OR (t.state = ? AND t.admitted_at <= s.admitted_at))",
        (
            served_training,
            identity,
            to_microseconds(now),
            TrainingState.OPEN,
            TrainingState.PASSED,
            TrainingState.PASSED,
        ),
    ).fetchone()
    if claimed_in_vain is None:
        return
    connection.execute(
        "UPDATE inbox SET claimed_by = NULL, requested_at = ? WHERE incident_id = ?",
        (to_microseconds(now), identity),
    )
    connection.execute("UPDATE incidents SET state = ? WHERE incident_id = ?", (IncidentState.OPEN, identity))


def settle_quiet(
    connection: sqlite3.Connection, use_case: str, *, quiet: Sequence[str], served_training: str, now: datetime
) -> list[str]:
    """End the incidents of groups that were quiet for a full window of the served version.

    One that was answered by the training whose version serves is resolved; one that never asked for a training is
    closed; one that still waits for its training stays. Returns the ids that ended.
    """
    ended = []
    for group in quiet:
        incident = ongoing(connection, use_case, group)
        if incident is None:
            continue
        row = connection.execute(
            "SELECT training_id FROM incidents WHERE incident_id = ?", (incident.incident_id,)
        ).fetchone()
        answered = row[0] == served_training or incident.state == IncidentState.RELEASED
        if not answered and incident.asked and incident.state in (IncidentState.TRAINING, IncidentState.GATED):
            continue
        state = IncidentState.RESOLVED if answered else IncidentState.CLOSED
        connection.execute("DELETE FROM inbox WHERE incident_id = ? AND claimed_by IS NULL", (incident.incident_id,))
        connection.execute(
            "UPDATE incidents SET state = ?, updated_at = ? WHERE incident_id = ?",
            (state, to_microseconds(now), incident.incident_id),
        )
        ended.append(incident.incident_id)
    return ended


def num_unclaimed(path: Path, use_case: str) -> int:
    """Entries of the inbox that no training has claimed; none where nothing was set up yet."""
    if not path.exists():
        return 0
    with control(path) as connection:
        row = connection.execute(
            "SELECT COUNT(*) FROM inbox WHERE use_case = ? AND claimed_by IS NULL", (use_case,)
        ).fetchone()
    return int(row[0])
