"""Alarms become incidents, one per episode, and those that ask for a training enter the inbox in the same transaction.

An episode begins with the first window that alarms and lasts until its incident is resolved or closed. A window that
alarms again adds nothing, except that a training which ended without a release is asked for once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, case, delete, func, select, text, update

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import IncidentState, TrainingState, incident_id
from infra.clock import to_microseconds
from infra.database import insert_if_absent, reading
from infra.database.schema import inbox, incidents

if TYPE_CHECKING:  # the command that asks the inbox needs nothing of what judges
    from monitoring.decision import Alarm

ENDED = (IncidentState.RESOLVED, IncidentState.CLOSED)


@dataclass(frozen=True, kw_only=True)
class Incident:
    incident_id: str
    alert_group: str
    state: str
    training_id: str | None
    asked: bool


def ongoing(connection: Connection, use_case: str, group: str) -> Incident | None:
    asked = inbox.c.incident_id.is_not(None).label("asked")
    query = (
        select(incidents.c.incident_id, incidents.c.alert_group, incidents.c.state, incidents.c.training_id, asked)
        .outerjoin(inbox)
        .where(incidents.c.use_case == use_case, incidents.c.alert_group == group)
        .where(incidents.c.state.not_in(ENDED))
        .order_by(incidents.c.opened_at.desc())
    )
    newest = connection.execute(query).mappings().first()
    return None if newest is None else Incident(**newest)


def raise_alarm(
    connection: Connection,
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
        row = {
            "incident_id": identity,
            "use_case": use_case,
            "alert_group": alarm.group,
            "severity": alarm.severity,
            "cause": alarm.cause,
            "opened_at": to_microseconds(now),
            "opened_at_wall": to_microseconds(wall),
            "state": IncidentState.OPEN,
            "reason": alarm.reason,
            "updated_at": to_microseconds(now),
        }
        insert_if_absent(connection, incidents, row)
    else:
        identity = incident.incident_id
        severity = case((incidents.c.severity < alarm.severity, incidents.c.severity), else_=alarm.severity)
        change_incident(connection, identity, severity=severity, reason=alarm.reason, updated_at=to_microseconds(now))
    if alarm.retrain:
        ask_for_training(connection, use_case, identity, served_training=served_training, now=now)
    return identity


def ask_for_training(
    connection: Connection, use_case: str, identity: str, *, served_training: str, now: datetime
) -> None:
    """An inbox entry, unclaimed: new, or once more if what claimed it did not end the alarm.

    That is a training which gave no version, or one whose version serves, or served before, and the alarm goes on.
    """
    entry = {"incident_id": identity, "use_case": use_case, "requested_at": to_microseconds(now)}
    insert_if_absent(connection, inbox, entry)
    values = {
        "served_training": served_training,
        "incident_id": identity,
        "now": to_microseconds(now),
        "open": TrainingState.OPEN,
        "passed": TrainingState.PASSED,
    }
    if connection.execute(CLAIMED_IN_VAIN, values).first() is None:
        return
    asked_again = update(inbox).where(inbox.c.incident_id == identity)
    connection.execute(asked_again.values(claimed_by=None, requested_at=to_microseconds(now)))
    change_incident(connection, identity, state=IncidentState.OPEN)


CLAIMED_IN_VAIN = text("""
SELECT inbox.incident_id
FROM inbox
LEFT JOIN trainings AS claimant ON claimant.training_id = inbox.claimed_by
LEFT JOIN trainings AS served ON served.training_id = :served_training
WHERE inbox.incident_id = :incident_id AND inbox.claimed_by IS NOT NULL AND inbox.requested_at < :now AND (
    claimant.training_id IS NULL
    OR claimant.state NOT IN (:open, :passed)
    OR (claimant.state = :passed AND claimant.admitted_at <= served.admitted_at)
)
""")


def change_incident(connection: Connection, identity: str, **facts: object) -> None:
    connection.execute(update(incidents).where(incidents.c.incident_id == identity).values(**facts))


def settle_quiet(
    connection: Connection, use_case: str, *, quiet: Sequence[str], served_training: str, now: datetime
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
        answered = incident.training_id == served_training or incident.state == IncidentState.RELEASED
        if not answered and incident.asked and incident.state in (IncidentState.TRAINING, IncidentState.GATED):
            continue
        state = IncidentState.RESOLVED if answered else IncidentState.CLOSED
        is_unclaimed = (inbox.c.incident_id == incident.incident_id) & inbox.c.claimed_by.is_(None)
        connection.execute(delete(inbox).where(is_unclaimed))
        change_incident(connection, incident.incident_id, state=state, updated_at=to_microseconds(now))
        ended.append(incident.incident_id)
    return ended


def num_unclaimed(database: str, use_case: str) -> int:
    """Entries of the inbox that no training has claimed."""
    with reading(database) as connection:
        return count_unclaimed(connection, use_case)


def count_unclaimed(connection: Connection, use_case: str) -> int:
    query = select(func.count()).where(inbox.c.use_case == use_case, inbox.c.claimed_by.is_(None))
    return connection.execute(query).scalar_one()
