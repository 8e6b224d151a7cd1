"""Reads what a demo left behind: the client's ledger, the prediction log, labels, the database.

Every figure of the report is computed from these files after the fact and from nothing that the demo kept in memory.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import text

from infra.clock import from_microseconds
from infra.database import reading
from infra.lake import LABELS, Lake, use_case_group
from infra.local.ledger import Round, rounds_of
from infra.quoting import parquet_files, read_only_uri
from infra.settings import Settings

LATE_MINUTES = 15.0

# The lake's labels first; of the last flights, whose labels no workflow has brought in yet, what the feed knows came
# of them. A flight that was cancelled or diverted has no label in either.
ANSWERS = """
WITH truth AS (
    SELECT carrier, flight, origin, epoch_us(scheduled_departure) AS scheduled_departure,
        CAST(any_value(delay_minutes) >= {late} AS DOUBLE) AS label
    FROM {feed} WHERE event = 'arrived'
    GROUP BY ALL
), mature AS (
    SELECT carrier, flight, origin, epoch_us(scheduled_departure) AS scheduled_departure,
        true AS known, CAST(any_value(label) AS DOUBLE) AS label
    FROM {labels}
    GROUP BY ALL
)
SELECT asked.*, frozen.probability AS frozen, coalesce(known, false) AS mature,
    CASE WHEN known THEN mature.label ELSE truth.label END AS label
FROM asked
LEFT JOIN frozen USING (prediction_id)
LEFT JOIN mature USING (carrier, flight, origin, scheduled_departure)
LEFT JOIN truth USING (carrier, flight, origin, scheduled_departure)
ORDER BY asked.sequence
"""
NO_LABELS = """(SELECT NULL AS carrier, NULL AS flight, NULL AS origin, NULL::TIMESTAMPTZ AS scheduled_departure,
    NULL AS label LIMIT 0)"""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the files of one demo lie."""

    settings: Settings
    use_case: str
    feed: Path

    @property
    def ledger(self) -> Path:
        return self.settings.root / "ledger.db"

    @property
    def frozen(self) -> Path:
        """What the first model would have answered, by `python -m serving score --version 1`."""
        return self.settings.root / "frozen.parquet"


@contextmanager
def opened(database: Path, **attached: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection; other databases under the names given. Rows come as mappings."""
    connection = sqlite3.connect(read_only_uri(database), uri=True, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        for name, path in attached.items():
            connection.execute(f"ATTACH ? AS {name}", [read_only_uri(path)])
        yield connection
    finally:
        connection.close()


def read_rows(database: Path, query: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    with opened(database) as connection:
        return [dict(row) for row in connection.execute(query, parameters or {})]


def read_shared(places: Places, query: str) -> list[dict[str, Any]]:
    """Rows of the database that the layers share, of the demo's `:use_case`."""
    with reading(places.settings.database) as connection:
        return [dict(row) for row in connection.execute(text(query), {"use_case": places.use_case}).mappings()]


def read_answers(places: Places) -> pa.Table:
    """Every live answer: round, model version, probability, the first model's (`frozen`), `label`, `mature`."""
    query = """
        SELECT sequence, round, prediction_id, model_version, probability, latency_seconds,
            carrier, flight, origin, scheduled_departure
        FROM requests WHERE failure IS NULL AND NOT replayed ORDER BY sequence"""
    rows = read_rows(places.ledger, query)
    connection = duckdb.connect()
    connection.register("asked", pa.Table.from_pylist(rows, ASKED))
    connection.execute(f"CREATE VIEW frozen AS FROM {parquet_files(places.frozen)}")
    lake = Lake(places.settings.root, places.settings.database)
    with lake.open(use_case_group(places.use_case)) as gold:
        statement = ANSWERS.format(
            labels=gold.sql(LABELS) or NO_LABELS,
            feed=parquet_files(places.feed / "flights.parquet"),
            late=LATE_MINUTES,
        )
        return connection.execute(statement).to_arrow_table()


ASKED = pa.schema(
    {
        "sequence": pa.int64(),
        "round": pa.int64(),
        "prediction_id": pa.string(),
        "model_version": pa.string(),
        "probability": pa.float64(),
        "latency_seconds": pa.float64(),
        "carrier": pa.string(),
        "flight": pa.int64(),
        "origin": pa.string(),
        "scheduled_departure": pa.int64(),
    }
)


def has_answers(places: Places) -> bool:
    """Whether any request was answered, a replayed one included: if not, the prediction log is empty."""
    return bool(read_rows(places.ledger, "SELECT 1 FROM requests WHERE failure IS NULL LIMIT 1"))


def count_requests(places: Places, begun: int, ended: float) -> int:
    """Requests sent in `[begun, ended]`, wall microseconds, answered or not."""
    query = "SELECT count(*) AS num FROM requests WHERE sent_at_wall BETWEEN :begun AND :ended"
    num_requests: int = read_rows(places.ledger, query, {"begun": begun, "ended": ended})[0]["num"]
    return num_requests


@dataclass(frozen=True, kw_only=True)
class Failure:
    round: int
    sent_at_wall: int
    reason: str


def read_failures(places: Places) -> list[Failure]:
    """Every request that was not answered, replayed ones included."""
    query = "SELECT round, sent_at_wall, failure AS reason FROM requests WHERE failure IS NOT NULL ORDER BY sequence"
    return [Failure(**row) for row in read_rows(places.ledger, query)]


def count_disagreements(places: Places) -> int:
    """Acknowledged answers that the prediction log does not have, or has with another probability or version."""
    query = """
        SELECT count(*) FROM requests LEFT JOIN log.predictions USING (prediction_id)
        WHERE requests.failure IS NULL AND (
            predictions.prediction_id IS NULL OR predictions.model_version <> requests.model_version
            OR abs(predictions.probability - requests.probability) > 1e-9)"""
    with opened(places.ledger, log=places.settings.prediction_log) as connection:
        num_rows: int = connection.execute(query).fetchone()[0]
    return num_rows


@dataclass(frozen=True, kw_only=True)
class ReleasedVersion:
    """One release, its training and the incident that asked for it; wall times in microseconds."""

    incident: str | None
    alarmed_at_wall: int | None
    cause: str | None
    run: str | None
    version: str
    gate: dict[str, Any]
    alias_set_at_wall: int
    served_at_wall: int | None


RELEASES = """
SELECT
    incident.incident_id AS incident, incident.opened_at_wall AS alarmed_at_wall, incident.cause AS cause,
    trainings.run_id AS run, releases.model_version AS version, trainings.gate AS gate,
    releases.alias_set_at_wall AS alias_set_at_wall, releases.served_at_wall AS served_at_wall
FROM releases
LEFT JOIN trainings USING (training_id)
LEFT JOIN incidents AS incident ON incident.incident_id = (
    SELECT incident_id FROM incidents WHERE training_id = releases.training_id ORDER BY opened_at_wall LIMIT 1)
WHERE releases.use_case = :use_case
ORDER BY releases.alias_set_at_wall
"""


def read_releases(places: Places) -> list[ReleasedVersion]:
    rows = read_shared(places, RELEASES)
    return [ReleasedVersion(**{**row, "gate": json.loads(row["gate"] or "{}")}) for row in rows]


def read_rounds(places: Places) -> list[Round]:
    with opened(places.ledger) as connection:
        return rounds_of(connection)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the monitoring made of one window. `drift` is weighted by importance, over its threshold: 1 alarms.

    `budget` is the stated probability of a false alarm in one window.
    """

    window_end: datetime
    decision: str
    reason: str
    drift: float | None
    budget: float | None

    @property
    def says_something(self) -> bool:
        """Whether anything of the window was judged: if not, it could not alarm either."""
        return bool(self.budget)


def read_judgements(places: Places) -> list[Judgement]:
    query = "SELECT window_end, result FROM monitoring_results WHERE use_case = :use_case ORDER BY window_end"
    rows = read_shared(places, query)
    return [judgement(from_microseconds(row["window_end"]), json.loads(row["result"])) for row in rows]


def judgement(window_end: datetime, result: dict[str, Any]) -> Judgement:
    weighted, threshold = result["weighted_drift"], result["weighted_drift_threshold"]
    return Judgement(
        window_end=window_end,
        decision=result["decision"],
        reason=result["reason"],
        drift=None if weighted is None or not threshold else weighted / threshold,
        budget=result.get("alarm_budget"),
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    state: str
    outcome: str
    cause: str | None

    def __str__(self) -> str:
        return f"the training is {self.state}: {self.outcome}"


def read_trainings(places: Places) -> list[TrainingOutcome]:
    """Each training with the cause of its first incident, in order."""
    query = """
        SELECT state, outcome, (
            SELECT cause FROM incidents WHERE incidents.training_id = trainings.training_id
            ORDER BY opened_at_wall LIMIT 1) AS cause
        FROM trainings WHERE use_case = :use_case ORDER BY admitted_at_wall"""
    rows = read_shared(places, query)
    return [TrainingOutcome(**row) for row in rows]
