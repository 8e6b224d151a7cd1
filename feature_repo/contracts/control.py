"""Names and states of incidents and trainings.

Alarms, trainings and releases are made by different layers; they meet in the tables of `infra.database.schema`.
"""

import uuid
from datetime import datetime
from enum import StrEnum

NAMESPACE = uuid.UUID("6f0cbd0e-2f3c-5d3a-9a53-6f1d6a3f7f10")


class IncidentState(StrEnum):
    OPEN = "open"
    REFUSED = "refused"
    TRAINING = "training"
    GATED = "gated"
    RELEASED = "released"
    RESOLVED = "resolved"
    CLOSED = "closed"


class TrainingState(StrEnum):
    """`open` is the only state in which a training holds its use case's single place."""

    OPEN = "open"
    PASSED = "passed"
    GATE_REFUSED = "gate_refused"
    REFUSED = "refused"
    FAILED = "failed"


class Cause(StrEnum):
    """`data_defect` goes to the data's owner and never starts a training."""

    PERFORMANCE = "performance"
    DRIFT = "drift"
    DATA_DEFECT = "data_defect"
    MODEL_REFUSED = "model_refused"
    BOOTSTRAP = "bootstrap"
    REQUESTED = "requested"


def incident_id(use_case: str, alert_group: str, start: datetime) -> str:
    """The same alarm always has the same id, whoever computes it (UUIDv5)."""
    return str(uuid.uuid5(NAMESPACE, f"{use_case}/{alert_group}/{start.isoformat()}"))
