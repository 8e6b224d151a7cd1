"""A data folder of before the database had versions, as set-up of then left it."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from infra.settings import Settings

TABLES = """
CREATE TABLE incidents (
    incident_id TEXT PRIMARY KEY, use_case TEXT NOT NULL, alert_group TEXT NOT NULL, severity TEXT NOT NULL,
    cause TEXT NOT NULL, opened_at BIGINT NOT NULL, opened_at_wall BIGINT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', training_id TEXT, model_version TEXT,
    updated_at BIGINT NOT NULL
);
CREATE TABLE trainings (
    training_id TEXT PRIMARY KEY, use_case TEXT NOT NULL, state TEXT NOT NULL, admitted_at BIGINT NOT NULL,
    admitted_at_wall BIGINT NOT NULL, dataset_digest TEXT, run_id TEXT, model_version TEXT, gate TEXT,
    reason TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT ''
);
INSERT INTO trainings VALUES ('t', 'flight_delay', 'passed', 0, 0, NULL, 'run', '1', NULL, 'first', 'better');
"""


def folder_of_before(root: Path) -> Settings:
    settings = Settings(data_dir=root, serving_port=1, mlflow_port=2)
    root.mkdir(mode=0o700)
    with closing(sqlite3.connect(root / "control.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(TABLES)
    return settings


def contents(root: Path) -> dict[str, str]:
    """SHA-256 of each file by its path, and the empty text for a folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(root.rglob("*"))
    }
