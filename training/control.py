"""Trainings in the database: the one open training of a use case, and what became of each.

Every change is one transaction that no other writes beside, so that two commands started at once see each other.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from feature_repo.contracts.control import IncidentState, TrainingState
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, schema, writing
from training.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Training:
    training_id: str
    use_case: str
    state: TrainingState
    admitted_at: datetime
    dataset_digest: str | None
    run_id: str | None
    model_version: str | None
    gate: dict[str, object] | None
    reason: str
    outcome: str


def trainings(connection: Connection, use_case: str) -> list[Training]:
    """All of a use case, the newest first."""
    columns = schema.trainings.c
    query = select(schema.trainings).where(columns.use_case == use_case)
    rows = connection.execute(query.order_by(columns.admitted_at.desc(), columns.admitted_at_wall.desc()))
    return [parse(row) for row in rows]


def open_training(connection: Connection, use_case: str) -> Training | None:
    columns = schema.trainings.c
    query = select(schema.trainings).where(columns.use_case == use_case, columns.state == TrainingState.OPEN)
    row = connection.execute(query).one_or_none()
    return None if row is None else parse(row)


def the_open_training(database: str, use_case: str) -> Training:
    """Raises Refused if none is open: its command has nothing to do."""
    with reading(database) as connection:
        training = open_training(connection, use_case)
    if training is None:
        raise Refused(f"{use_case} has no open training; admit one first: python -m training admit {use_case}")
    return training


def parse(row: Row[Any]) -> Training:
    return Training(
        training_id=row.training_id,
        use_case=row.use_case,
        state=TrainingState(row.state),
        admitted_at=from_microseconds(row.admitted_at),
        dataset_digest=row.dataset_digest,
        run_id=row.run_id,
        model_version=row.model_version,
        gate=None if row.gate is None else json.loads(row.gate),
        reason=row.reason,
        outcome=row.outcome,
    )


def note(database: str, training_id: str, **facts: str) -> None:
    """Keep what is now known of an open training: `dataset_digest`, `run_id`, `model_version`."""
    assert set(facts) <= {"dataset_digest", "run_id", "model_version"}
    with writing(database) as connection:
        of_training = schema.trainings.c.training_id == training_id
        connection.execute(update(schema.trainings).where(of_training).values(**facts))


def end(
    database: str,
    training_id: str,
    state: TrainingState,
    outcome: str,
    *,
    now: datetime,
    gate: dict[str, object] | None = None,
) -> bool:
    """Give the use case's place free; its incidents follow. False if the training had ended before."""
    incident_state = IncidentState.GATED if state is TrainingState.PASSED else IncidentState.REFUSED
    trainings, incidents = schema.trainings, schema.incidents
    ended = update(trainings).where(trainings.c.training_id == training_id, trainings.c.state == TrainingState.OPEN)
    version = select(trainings.c.model_version).where(trainings.c.training_id == training_id).scalar_subquery()
    followed = update(incidents).where(
        incidents.c.training_id == training_id, incidents.c.state == IncidentState.TRAINING
    )
    with writing(database) as connection:
        kept_gate = None if gate is None else json.dumps(gate)
        changed = connection.execute(ended.values(state=state, outcome=outcome, gate=kept_gate)).rowcount
        if changed:
            facts = {"state": incident_state, "outcome": outcome, "updated_at": to_microseconds(now)}
            connection.execute(followed.values(**facts, model_version=version))
    return bool(changed)


def incidents_of(database: str, training_id: str) -> list[str]:
    columns = schema.incidents.c
    query = select(columns.incident_id).where(columns.training_id == training_id)
    with reading(database) as connection:
        return list(connection.execute(query.order_by(columns.opened_at, columns.incident_id)).scalars())
