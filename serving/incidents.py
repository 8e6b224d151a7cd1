"""Opens an incident when the champion is refused.

The serving process may read the registry and not write it, so the reason goes to the database; `release` and
the monitoring page carry it from there to where a person looks.
"""

from datetime import UTC, datetime

from sqlalchemy import select

from feature_repo.contracts.control import Cause, IncidentState, incident_id
from infra.clock import to_microseconds
from infra.database import insert_if_absent, reading, writing
from infra.database.schema import incidents
from serving.registry import ModelVersion


def open_refusal(database: str, version: ModelVersion, reason: str, *, now: datetime) -> str:
    """The incident's id, the same however often the same version is refused."""
    created = datetime.fromtimestamp(version.created_at_milliseconds / 1000, UTC)
    group = f"model_refused/{version.version}"
    incident = incident_id(version.name, group, created)
    row = {
        "incident_id": incident,
        "use_case": version.name,
        "alert_group": group,
        "severity": "P1",
        "cause": Cause.MODEL_REFUSED,
        "opened_at": to_microseconds(now),
        "opened_at_wall": to_microseconds(datetime.now(UTC)),
        "state": IncidentState.OPEN,
        "reason": reason,
        "model_version": version.version,
        "updated_at": to_microseconds(now),
    }
    with writing(database) as connection:
        insert_if_absent(connection, incidents, row)
    return incident


def refusal_of(database: str, use_case: str, version: str) -> str | None:
    """Why the service refused this version, None if it did not."""
    query = select(incidents.c.reason).where(
        incidents.c.use_case == use_case,
        incidents.c.cause == Cause.MODEL_REFUSED,
        incidents.c.model_version == version,
    )
    with reading(database) as connection:
        return connection.execute(query).scalars().first()
