"""Trainings in the control database: the one open training of a use case, and what became of each.

Every change is one immediate transaction, so that two commands started at once see each other.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from feature_repo.contracts.control import IncidentState, TrainingState, control
from infra.clock import from_microseconds, to_microseconds
from training.errors import Refused

COLUMNS = "training_id, use_case, state, admitted_at, dataset_digest, run_id, model_version, gate, reason, outcome"


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


def trainings(connection: sqlite3.Connection, use_case: str) -> list[Training]:
    """All of a use case, the newest first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM trainings WHERE use_case = ? ORDER BY admitted_at DESC, admitted_at_wall DESC",
        (use_case,),
    ).fetchall()
    return [parse(row) for row in rows]


def open_training(connection: sqlite3.Connection, use_case: str) -> Training | None:
    row = connection.execute(
        f"SELECT {COLUMNS} FROM trainings WHERE use_case = ? AND state = ?", (use_case, TrainingState.OPEN)
    ).fetchone()
    return None if row is None else parse(row)


def the_open_training(path: Path, use_case: str) -> Training:
    """Raises Refused if none is open: its command has nothing to do."""
    with control(path) as connection:
        training = open_training(connection, use_case)
    if training is None:
        raise Refused(f"{use_case} has no open training; admit one first: python -m training admit {use_case}")
    return training


def parse(row: tuple[object, ...]) -> Training:
    identity, use_case, state, admitted_at, digest, run_id, version, gate, reason, outcome = row
    assert isinstance(admitted_at, int)
    return Training(
        training_id=str(identity),
        use_case=str(use_case),
        state=TrainingState(str(state)),
        admitted_at=from_microseconds(admitted_at),
        dataset_digest=None if digest is None else str(digest),
        run_id=None if run_id is None else str(run_id),
        model_version=None if version is None else str(version),
        gate=None if gate is None else json.loads(str(gate)),
        reason=str(reason),
        outcome=str(outcome),
    )


def note(path: Path, training_id: str, **facts: str) -> None:
    """Keep what is now known of an open training: `dataset_digest`, `run_id`, `model_version`."""
    assert set(facts) <= {"dataset_digest", "run_id", "model_version"}
    with control(path) as connection:
        for name, value in facts.items():
            connection.execute(f"UPDATE trainings SET {name} = ? WHERE training_id = ?", (value, training_id))


def end(
    path: Path,
    training_id: str,
    state: TrainingState,
    outcome: str,
    *,
    now: datetime,
    gate: dict[str, object] | None = None,
) -> bool:
    """Give the use case's place free; its incidents follow. False if the training had ended before."""
    incident_state = IncidentState.GATED if state is TrainingState.PASSED else IncidentState.REFUSED
    with control(path) as connection:
        changed = connection.execute(
            "UPDATE trainings SET state = ?, outcome = ?, gate = ? WHERE training_id = ? AND state = ?",
            (state, outcome, None if gate is None else json.dumps(gate), training_id, TrainingState.OPEN),
        ).rowcount
        if changed:
            connection.execute(
                "UPDATE incidents SET state = ?, outcome = ?, updated_at = ?, "
                "model_version = (SELECT model_version FROM trainings WHERE training_id = ?) "
                "WHERE training_id = ? AND state = ?",
                (incident_state, outcome, to_microseconds(now), training_id, training_id, IncidentState.TRAINING),
            )
    return bool(changed)


def incidents_of(path: Path, training_id: str) -> list[str]:
    with control(path) as connection:
        rows = connection.execute(
            "SELECT incident_id FROM incidents WHERE training_id = ? ORDER BY opened_at, incident_id", (training_id,)
        ).fetchall()
    return [str(row[0]) for row in rows]
