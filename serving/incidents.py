"""Opens an incident when the champion is refused.

The serving process may read the registry and not write it, so the reason goes to the control database; `release` and
the monitoring page carry it from there to where a person looks.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from feature_repo.contracts.control import DDL, Cause, IncidentState, control, incident_id
from infra.clock import to_microseconds
from serving.registry import ModelVersion


def open_refusal(database: Path, version: ModelVersion, reason: str, *, now: datetime) -> str:
    """The incident's id, the same however often the same version is refused."""
    created = datetime.fromtimestamp(version.created_at_milliseconds / 1000, UTC)
    group = f"model_refused/{version.version}"
    incident = incident_id(version.name, group, created)
    row = (
        incident,
        version.name,
        group,
        "P1",
        Cause.MODEL_REFUSED,
        to_microseconds(now),
        to_microseconds(datetime.now(UTC)),
        IncidentState.OPEN,
        reason,
        version.version,
        to_microseconds(now),
    )
    with control(database) as connection:
        connection.execute(
            "INSERT OR IGNORE INTO incidents (incident_id, use_case, alert_group, severity, cause, opened_at, "
            "opened_at_wall, state, reason, model_version, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    return incident


def refusal_of(database: Path, use_case: str, version: str) -> str | None:
    """Why the service refused this version, None if it did not."""
    if not database.exists():
        return None
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.executescript(DDL)
        found = connection.execute(
            "SELECT reason FROM incidents WHERE use_case = ? AND cause = ? AND model_version = ?",
            (use_case, Cause.MODEL_REFUSED, version),
        ).fetchone()
    return None if found is None else str(found[0])
