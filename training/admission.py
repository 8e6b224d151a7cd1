"""Whether an alarm may start a training now; the one place where the loop is held back.

An asset event is a doorbell without content: what asks for a training is the inbox, and it is claimed in the same
transaction that opens the training. A refusal is the incidents' outcome and claims nothing, so that they are asked
about again when the reason has passed.
"""

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from feature_repo.contracts.control import Cause, IncidentState, TrainingState, control, incident_id
from infra.clock import to_microseconds
from training.control import Training, open_training, trainings
from training.errors import NotAdmitted
from training.spec import TrainingSpec

WAITING = (IncidentState.OPEN, IncidentState.REFUSED)


@dataclass(frozen=True, kw_only=True)
class Admission:
    training_id: str
    is_new: bool
    incidents: tuple[str, ...]


def admit(
    database: Path,
    spec: TrainingSpec,
    *,
    now: datetime,
    wall: datetime,
    bootstrap: bool = False,
    requested: str | None = None,
) -> Admission:
    """Open a training for what waits in the inbox, or go on with the open one: there is one per use case.

    `bootstrap` trains the first model, `requested` is a person's reason: neither waits for the cool-down or needs an
    alarm. Raises NotAdmitted with the reason, which then is the waiting incidents' outcome too, and ValueError for a
    reason without a word.
    """
    if requested is not None:
        check_reason(requested)
    name = spec.contract.name
    with control(database) as connection:
        going_on = open_training(connection, name)
        if going_on is not None:
            return Admission(training_id=going_on.training_id, is_new=False, incidents=())
        if bootstrap or requested is not None:
            cause = Cause.BOOTSTRAP if bootstrap else Cause.REQUESTED
            ask(connection, name, cause, requested or "the first model", now=now, wall=wall)
        waiting = claimable(connection, name)
        reason = reason_against(connection, spec, waiting, now, by_hand=requested is not None, bootstrap=bootstrap)
        if reason is None:
            return open_new(connection, name, waiting, now=now, wall=wall)
        refuse(connection, waiting, reason, now)
    raise NotAdmitted(f"{name}: no training: {reason}")


def check_reason(reason: str) -> None:
    if not reason.strip():
        raise ValueError("the reason is empty; say why: it is kept, and shown to whoever looks later")


def ask(
    connection: sqlite3.Connection, use_case: str, cause: Cause, reason: str, *, now: datetime, wall: datetime
) -> None:
    """An incident that a person opens, so that every training has one."""
    identity = incident_id(use_case, f"{cause}/{reason}", wall)
    connection.execute(
        "INSERT INTO incidents (incident_id, use_case, alert_group, severity, cause, opened_at, opened_at_wall, state, "
        "reason, updated_at) VALUES (?, ?, ?, 'P3', ?, ?, ?, ?, ?, ?) ON CONFLICT (incident_id) DO NOTHING",
        (
            *(identity, use_case, str(cause), str(cause)),
            *(to_microseconds(now), to_microseconds(wall), str(IncidentState.OPEN), reason, to_microseconds(now)),
        ),
    )
    connection.execute(
        "INSERT INTO inbox (incident_id, use_case, requested_at) VALUES (?, ?, ?) ON CONFLICT (incident_id) DO NOTHING",
        (identity, use_case, to_microseconds(now)),
    )


def claimable(connection: sqlite3.Connection, use_case: str) -> tuple[str, ...]:
    """Incidents in the inbox that no training has claimed; a defect of the data is never one, it has another owner."""
    rows = connection.execute(
        "SELECT incident_id FROM inbox JOIN incidents USING (incident_id) WHERE inbox.use_case = ? "
        "AND claimed_by IS NULL AND state IN (?, ?) AND cause != ? ORDER BY requested_at, incident_id",
        (use_case, *WAITING, Cause.DATA_DEFECT),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def reason_against(
    connection: sqlite3.Connection,
    spec: TrainingSpec,
    waiting: tuple[str, ...],
    now: datetime,
    *,
    by_hand: bool,
    bootstrap: bool,
) -> str | None:
    """Why no training may start now, or None."""
    name, rules = spec.contract.name, spec.admission
    paused = connection.execute("SELECT reason FROM switches WHERE use_case = ? AND paused = 1", (name,)).fetchone()
    if paused is not None:
        return f"the loop is paused ({paused[0]}); go on with: python -m training resume {name}"
    without_model = (TrainingState.REFUSED, TrainingState.FAILED)
    done = [training for training in trainings(connection, name) if training.state not in without_model]
    if bootstrap:
        return first_model_exists(done)
    if not waiting:
        return "nothing waits in the inbox"
    defect = defect_in_window(connection, spec, now)
    if defect is not None:
        return f"the data of the same window has a defect, which its owner must mend first: {defect}"
    if not by_hand and done and now - done[0].admitted_at < rules.cool_down:
        return f"cool-down of {rules.cool_down}: the last training was admitted at {done[0].admitted_at.isoformat()}"
    spent = sum(now - training.admitted_at < rules.budget_period for training in done)
    if spent >= rules.budget:
        return f"the budget of {rules.budget} trainings in {rules.budget_period.days} days is spent"
    return None


def first_model_exists(done: list[Training]) -> str | None:
    passed = [training for training in done if training.state is TrainingState.PASSED]
    if not passed:
        return None
    return f"version {passed[0].model_version} has passed its gate already; retrain with --requested REASON"


def defect_in_window(connection: sqlite3.Connection, spec: TrainingSpec, now: datetime) -> str | None:
    """The newest defect of the data that is not settled and was found within the gate's window."""
    row = connection.execute(
        "SELECT incident_id, reason FROM incidents WHERE use_case = ? AND cause = ? AND state NOT IN (?, ?) "
        "AND opened_at > ? ORDER BY opened_at DESC",
        (
            *(spec.contract.name, Cause.DATA_DEFECT, IncidentState.RESOLVED, IncidentState.CLOSED),
            to_microseconds(now - spec.contract.gate_window),
        ),
    ).fetchone()
    return None if row is None else f"{row[1]} (incident {row[0]})"


def open_new(
    connection: sqlite3.Connection, use_case: str, waiting: tuple[str, ...], *, now: datetime, wall: datetime
) -> Admission:
    training_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    reasons = [
        row[0]
        for identity in waiting
        for row in connection.execute("SELECT reason FROM incidents WHERE incident_id = ?", (identity,))
    ]
    connection.execute(
        "INSERT INTO trainings (training_id, use_case, state, admitted_at, admitted_at_wall, reason) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (training_id, use_case, TrainingState.OPEN, to_microseconds(now), to_microseconds(wall), "; ".join(reasons)),
    )
    for identity in waiting:
        connection.execute("UPDATE inbox SET claimed_by = ? WHERE incident_id = ?", (training_id, identity))
        connection.execute(
            "UPDATE incidents SET state = ?, outcome = '', training_id = ?, updated_at = ? WHERE incident_id = ?",
            (IncidentState.TRAINING, training_id, to_microseconds(now), identity),
        )
    return Admission(training_id=training_id, is_new=True, incidents=waiting)


def refuse(connection: sqlite3.Connection, waiting: tuple[str, ...], reason: str, now: datetime) -> None:
    for identity in waiting:
        connection.execute(
            "UPDATE incidents SET state = ?, outcome = ?, updated_at = ? WHERE incident_id = ?",
            (IncidentState.REFUSED, reason, to_microseconds(now), identity),
        )


def switch(database: Path, use_case: str, *, paused: bool, reason: str, wall: datetime) -> None:
    """Raises ValueError for a pause without a reason."""
    if paused:
        check_reason(reason)
    with control(database) as connection:
        connection.execute(
            "INSERT INTO switches (use_case, paused, reason, updated_at_wall) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (use_case) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, "
            "updated_at_wall = excluded.updated_at_wall",
            (use_case, int(paused), reason, to_microseconds(wall)),
        )
