"""Whether an alarm may start a training now; the one place where the loop is held back.

An asset event is a doorbell without content: what asks for a training is the inbox, and it is claimed in the same
transaction that opens the training. A refusal is the incidents' outcome and claims nothing, so that they are asked
about again when the reason has passed.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from feature_repo.contracts.control import Cause, IncidentState, TrainingState, incident_id
from infra.clock import to_microseconds
from infra.database import insert_if_absent, upsert, writing
from infra.database.schema import inbox, incidents, switches
from infra.database.schema import trainings as trainings_table
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
    database: str,
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
    with writing(database) as connection:
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


def ask(connection: Connection, use_case: str, cause: Cause, reason: str, *, now: datetime, wall: datetime) -> None:
    """An incident that a person opens, so that every training has one."""
    identity = incident_id(use_case, f"{cause}/{reason}", wall)
    incident = {
        "incident_id": identity,
        "use_case": use_case,
        "alert_group": cause,
        "severity": "P3",
        "cause": cause,
        "opened_at": to_microseconds(now),
        "opened_at_wall": to_microseconds(wall),
        "state": IncidentState.OPEN,
        "reason": reason,
        "updated_at": to_microseconds(now),
    }
    entry = {"incident_id": identity, "use_case": use_case, "requested_at": to_microseconds(now)}
    insert_if_absent(connection, incidents, incident)
    insert_if_absent(connection, inbox, entry)


def claimable(connection: Connection, use_case: str) -> tuple[str, ...]:
    """Incidents in the inbox that no training has claimed; a defect of the data is never one, it has another owner."""
    query = (
        select(inbox.c.incident_id)
        .join(incidents)
        .where(inbox.c.use_case == use_case, inbox.c.claimed_by.is_(None))
        .where(incidents.c.state.in_(WAITING), incidents.c.cause != Cause.DATA_DEFECT)
        .order_by(inbox.c.requested_at, inbox.c.incident_id)
    )
    return tuple(connection.execute(query).scalars())


def reason_against(
    connection: Connection,
    spec: TrainingSpec,
    waiting: tuple[str, ...],
    now: datetime,
    *,
    by_hand: bool,
    bootstrap: bool,
) -> str | None:
    """Why no training may start now, or None."""
    name, rules = spec.contract.name, spec.admission
    is_paused = (switches.c.use_case == name) & (switches.c.paused == 1)
    why_paused = connection.execute(select(switches.c.reason).where(is_paused)).scalar()
    if why_paused is not None:
        return f"the loop is paused ({why_paused}); go on with: python -m training resume {name}"
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


def defect_in_window(connection: Connection, spec: TrainingSpec, now: datetime) -> str | None:
    """The newest defect of the data that is not settled and was found within the gate's window."""
    query = (
        select(incidents.c.incident_id, incidents.c.reason)
        .where(incidents.c.use_case == spec.contract.name, incidents.c.cause == Cause.DATA_DEFECT)
        .where(incidents.c.state.not_in((IncidentState.RESOLVED, IncidentState.CLOSED)))
        .where(incidents.c.opened_at > to_microseconds(now - spec.contract.gate_window))
        .order_by(incidents.c.opened_at.desc())
    )
    newest = connection.execute(query).first()
    return None if newest is None else f"{newest.reason} (incident {newest.incident_id})"


def open_new(
    connection: Connection, use_case: str, waiting: tuple[str, ...], *, now: datetime, wall: datetime
) -> Admission:
    training_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    query = select(incidents.c.incident_id, incidents.c.reason).where(incidents.c.incident_id.in_(waiting))
    reason_by_incident = {row.incident_id: row.reason for row in connection.execute(query)}
    training = {
        "training_id": training_id,
        "use_case": use_case,
        "state": TrainingState.OPEN,
        "admitted_at": to_microseconds(now),
        "admitted_at_wall": to_microseconds(wall),
        "reason": "; ".join(reason_by_incident[identity] for identity in waiting),
    }
    connection.execute(insert(trainings_table).values(**training))
    connection.execute(update(inbox).where(inbox.c.incident_id.in_(waiting)).values(claimed_by=training_id))
    facts = {"state": IncidentState.TRAINING, "outcome": "", "training_id": training_id}
    change_incidents(connection, waiting, now, facts)
    return Admission(training_id=training_id, is_new=True, incidents=waiting)


def refuse(connection: Connection, waiting: tuple[str, ...], reason: str, now: datetime) -> None:
    change_incidents(connection, waiting, now, {"state": IncidentState.REFUSED, "outcome": reason})


def change_incidents(
    connection: Connection, identities: tuple[str, ...], now: datetime, facts: Mapping[str, str]
) -> None:
    changed = update(incidents).where(incidents.c.incident_id.in_(identities))
    connection.execute(changed.values(**facts, updated_at=to_microseconds(now)))


def switch(database: str, use_case: str, *, paused: bool, reason: str, wall: datetime) -> None:
    """Raises ValueError for a pause without a reason."""
    if paused:
        check_reason(reason)
    with writing(database) as connection:
        row = {"use_case": use_case, "paused": int(paused), "reason": reason, "updated_at_wall": to_microseconds(wall)}
        upsert(connection, switches, row)
