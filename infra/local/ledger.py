"""The client's ledger: every request of a demo and what came of it, and every round, in a SQLite file of its own.

It is what the outside saw, kept apart from what the service says of itself, so that a report can be recomputed and the
two can be held against each other: an answer that is in one and not in the other is a defect.
"""

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from infra.clock import from_microseconds, to_microseconds
from infra.local.client import Answer
from infra.local.schedule import PlannedRequest

DDL = """
CREATE TABLE IF NOT EXISTS rounds (
    round INTEGER PRIMARY KEY,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    workflows_began_wall INTEGER,
    workflows_ended_wall INTEGER
);
CREATE TABLE IF NOT EXISTS requests (
    sequence INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    round INTEGER NOT NULL REFERENCES rounds (round),
    requested_at INTEGER NOT NULL,
    sent_at_wall INTEGER NOT NULL,
    latency_seconds REAL NOT NULL,
    replayed INTEGER NOT NULL,
    carrier TEXT NOT NULL,
    flight INTEGER NOT NULL,
    origin TEXT NOT NULL,
    scheduled_departure INTEGER NOT NULL,
    status INTEGER,
    prediction_id TEXT,
    probability REAL,
    model_version TEXT,
    degraded INTEGER NOT NULL,
    failure TEXT
);
"""
INSERT = f"INSERT INTO requests VALUES (NULL{', ?' * 16})"
Entry = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Round:
    number: int
    start: datetime
    end: datetime


class Ledger:
    """Appends in batches, one transaction each; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.executescript(DDL)
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def begin_round(self, round_: Round) -> None:
        row = (round_.number, to_microseconds(round_.start), to_microseconds(round_.end))
        with self.lock:
            self.connection.execute('INSERT INTO rounds (round, start, "end") VALUES (?, ?, ?)', row)

    def workflows_ran(self, round_: Round, *, began_wall: float, ended_wall: float) -> None:
        """When the round's workflows began and ended, in seconds since the epoch."""
        row = (int(began_wall * 1e6), int(ended_wall * 1e6), round_.number)
        statement = "UPDATE rounds SET workflows_began_wall = ?, workflows_ended_wall = ? WHERE round = ?"
        with self.lock:
            self.connection.execute(statement, row)

    def record(self, round_: Round, asked: Iterable[tuple[PlannedRequest, datetime, Answer]]) -> None:
        """Write requests with the simulated time at which each was sent, and their answers."""
        entries = [entry(round_, request, moment, answer) for request, moment, answer in asked]
        with self.lock:
            self.connection.execute("BEGIN")
            try:
                self.connection.executemany(INSERT, entries)
            except sqlite3.Error:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")


def entry(round_: Round, request: PlannedRequest, moment: datetime, answer: Answer) -> Entry:
    return (
        answer.key,
        round_.number,
        to_microseconds(moment),
        answer.sent_at_wall,
        answer.latency_seconds,
        answer.replayed,
        *request.entity,
        answer.status,
        answer.prediction_id,
        answer.probability,
        answer.model_version,
        answer.degraded,
        answer.failure,
    )


def rounds_of(connection: sqlite3.Connection) -> list[Round]:
    rows = connection.execute('SELECT round, start, "end" FROM rounds ORDER BY round')
    return [Round(number=n, start=from_microseconds(start), end=from_microseconds(end)) for n, start, end in rows]
