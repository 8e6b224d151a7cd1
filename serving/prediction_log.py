"""Writes answers to the prediction log before they are sent.

SQLite in WAL mode with one writer. `write` durability leaves a committed row with the operating system, which survives
kill -9 of this process, and puts it on disk within 50 ms by a thread that syncs the WAL; `fsync` has it on disk before
the answer. Checkpoints run in that thread too: in the request they would be stalls of tens of milliseconds.
"""

import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from feature_repo.contracts.prediction_log import DDL
from serving.errors import NotLogged

SYNC_INTERVAL_SECONDS = 0.05
CHECKPOINT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """A row of `predictions`, in the order of its columns; JSON columns already encoded."""

    prediction_id: str
    use_case: str
    idempotency_key: str
    requested_at: int
    logged_at: int
    replayed: int
    model_version: str
    feature_service: str
    as_of: int | None
    request: str
    vector: str
    probability: float
    decision: int
    degraded: str
    answer: str


COLUMNS = tuple(field.name for field in fields(LoggedPrediction))
INSERT = f"INSERT INTO predictions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class PredictionLog:
    """Written from one thread. Raises NotLogged, and has then written nothing, when a row cannot be recorded."""

    def __init__(self, path: Path, *, durability: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.durability = durability
        self.connection = self.connect()
        with self.connection:
            self.connection.executescript(DDL)
        self.unsynced = False
        self.sync_problem: str | None = None
        self.closing = threading.Event()
        self.syncing = threading.Thread(target=self.keep_syncing, name="prediction-log-sync", daemon=True)
        self.syncing.start()

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.durability == 'fsync' else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def answered(self, use_case: str, idempotency_key: str) -> tuple[str, str] | None:
        """The request and the answer that are stored under a client's key."""
        try:
            found: tuple[str, str] | None = self.connection.execute(
                "SELECT request, answer FROM predictions WHERE use_case = ? AND idempotency_key = ?",
                (use_case, idempotency_key),
            ).fetchone()
        except sqlite3.Error as error:
            raise NotLogged(f"the prediction log cannot be read: {error}") from error
        return found

    def write(self, predictions: Sequence[LoggedPrediction]) -> None:
        """All rows in one transaction, or none; without a row the log is left alone."""
        if not predictions:
            return
        if self.sync_problem is not None:
            raise NotLogged(f"the prediction log cannot be synced to disk: {self.sync_problem}")
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(INSERT, [astuple_fast(prediction) for prediction in predictions])
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise NotLogged(f"the prediction was not recorded: {error}", status=507 if full else 503) from error
        self.unsynced = True

    def keep_syncing(self) -> None:
        """What a power cut can lose in `write` mode is what was written since the last pass of this loop."""
        checkpoints = self.connect()
        while not self.closing.wait(SYNC_INTERVAL_SECONDS):
            self.sync(checkpoints)
        self.sync(checkpoints)
        checkpoints.close()

    def sync(self, checkpoints: sqlite3.Connection) -> None:
        if not self.unsynced and self.sync_problem is None:
            return
        self.unsynced = False
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            if self.durability == "write":
                sync_file(wal)
            if wal.stat().st_size > CHECKPOINT_BYTES:
                checkpoints.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (OSError, sqlite3.Error) as error:
            self.sync_problem = str(error)
        else:
            self.sync_problem = None

    def close(self) -> None:
        self.closing.set()
        self.syncing.join()
        self.connection.close()


def astuple_fast(prediction: LoggedPrediction) -> tuple[object, ...]:
    """`dataclasses.astuple` copies deeply, which costs more than the insert."""
    return tuple(getattr(prediction, name) for name in COLUMNS)


def sync_file(path: Path) -> None:
    """Any descriptor of a file syncs all of its pages, whoever wrote them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
