"""The schema of the prediction log, where serving, monitoring and parity meet.

One row per acknowledged answer, written before the answer is sent. Times are integer microseconds since the epoch,
UTC: `requested_at` by the Clock, `logged_at` by the wall. `vector` is a JSON array in `UseCase.vector` order; a float32
is written as the shortest decimal of its exact float64 value, so that reading it back gives the same four bytes.
`as_of` is the newest grid instant that the answer's features came from, null when the store could not be read.
`request` is a JSON object, its timestamps RFC 3339 in UTC; `degraded` a JSON array of reasons, empty when no feature
was missing: `absent:<view>`, `expired:<view>`, `store_missing`, `store_unreadable`, `store_stale`. `answer` is the
answer's body, byte for byte; `idempotency_key` the client's, else the prediction id (in a batch the client's key, `/`,
the row's number).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

DDL = """
CREATE TABLE IF NOT EXISTS predictions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    prediction_id TEXT NOT NULL UNIQUE,
    use_case TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    logged_at INTEGER NOT NULL,
    replayed INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    feature_service TEXT NOT NULL,
    as_of INTEGER,
    request TEXT NOT NULL,
    vector TEXT NOT NULL,
    probability REAL NOT NULL,
    decision INTEGER NOT NULL,
    degraded TEXT NOT NULL,
    answer TEXT NOT NULL,
    UNIQUE (use_case, idempotency_key)
);
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (use_case, requested_at);
"""


def is_made(path: Path) -> bool:
    """Whether there is a log to read: a file with its table."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'predictions'").fetchone() is not None
