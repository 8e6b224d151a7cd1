"""The tables of incidents, trainings, releases, quality and monitoring."""

from alembic import op

revision, down_revision = "0001", None

TABLES = """
CREATE TABLE incidents (
    incident_id TEXT NOT NULL PRIMARY KEY,
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
CREATE TABLE inbox (
    incident_id TEXT NOT NULL PRIMARY KEY REFERENCES incidents (incident_id),
    use_case TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    claimed_by TEXT
);
CREATE TABLE trainings (
    training_id TEXT NOT NULL PRIMARY KEY,
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
CREATE UNIQUE INDEX one_open_training ON trainings (use_case) WHERE state = 'open';
CREATE TABLE releases (
    release_id TEXT NOT NULL PRIMARY KEY,
    use_case TEXT NOT NULL,
    model_version TEXT NOT NULL,
    training_id TEXT,
    set_by TEXT NOT NULL,
    alias_set_at_wall BIGINT NOT NULL,
    served_at_wall BIGINT,
    reason TEXT NOT NULL
);
CREATE TABLE switches (
    use_case TEXT NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL,
    reason TEXT NOT NULL,
    updated_at_wall BIGINT NOT NULL
);
CREATE TABLE quality (
    use_case TEXT NOT NULL,
    source TEXT NOT NULL,
    interval_start BIGINT NOT NULL,
    interval_end BIGINT NOT NULL,
    num_rows INTEGER NOT NULL,
    num_quarantined INTEGER NOT NULL,
    num_warned INTEGER NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    failed INTEGER NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (use_case, source, interval_start, interval_end)
);
CREATE TABLE monitoring_results (
    use_case TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (use_case, window_start, window_end)
);
CREATE TABLE schema_compatibility (breaking INTEGER NOT NULL);
INSERT INTO schema_compatibility (breaking) VALUES (1)
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
