"""The control database: incidents, the retrain inbox, trainings, releases and quality scores.

Alarms, trainings and releases are made by different layers; they meet in these tables. The SQL is plain enough for
SQLite and PostgreSQL. Times are integer microseconds since the epoch, UTC; `_wall` columns are wall time, the others
the Clock's. A `reason` is why something began and stays; its `outcome` is what came of it, and why.
"""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path

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


DDL = """
CREATE TABLE IF NOT EXISTS incidents (
    incident_id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    alert_group TEXT NOT NULL,
    severity TEXT NOT NULL,
    cause TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    opened_at_wall BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    training_id TEXT,
    model_version TEXT,
    updated_at BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS inbox (
    incident_id TEXT PRIMARY KEY REFERENCES incidents (incident_id),
    use_case TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    claimed_by TEXT
);
CREATE TABLE IF NOT EXISTS trainings (
    training_id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    state TEXT NOT NULL,
    admitted_at BIGINT NOT NULL,
    admitted_at_wall BIGINT NOT NULL,
    dataset_digest TEXT,
    run_id TEXT,
    model_version TEXT,
    gate TEXT,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open_training ON trainings (use_case) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS releases (
    release_id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    model_version TEXT NOT NULL,
    training_id TEXT,
    set_by TEXT NOT NULL,
    alias_set_at_wall BIGINT NOT NULL,
    served_at_wall BIGINT,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS switches (
    use_case TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,
    reason TEXT NOT NULL,
    updated_at_wall BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS quality (
    use_case TEXT NOT NULL,
    source TEXT NOT NULL,
    interval_start BIGINT NOT NULL,
    interval_end BIGINT NOT NULL,
    num_rows INTEGER NOT NULL,
    num_quarantined INTEGER NOT NULL,
    num_warned INTEGER NOT NULL,
    score REAL NOT NULL,
    failed INTEGER NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (use_case, source, interval_start, interval_end)
);
CREATE TABLE IF NOT EXISTS monitoring_results (
    use_case TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (use_case, window_start, window_end)
);
"""


@contextmanager
def control(path: Path) -> Iterator[sqlite3.Connection]:
    """One immediate transaction on the control database, its tables made if need be: it waits for other writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(DDL)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
