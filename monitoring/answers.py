"""Answers of a window from the prediction log, joined with what came of them.

Replayed requests are left out: they were asked while simulated time stood still. Cancelled and diverted cases have an
outcome and no label: they are counted, never taken for negatives.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from feature_repo.contracts import prediction_log
from feature_repo.contracts.base import ColumnType, DataInterval, RequestType, UseCase
from infra.clock import to_microseconds
from infra.lake import LABELS, Lake, days_between, use_case_group
from infra.quoting import read_only_uri
from monitoring.errors import MonitoringError, NothingServed
from monitoring.sample import Sample, Strings

Key = tuple[object, ...]
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Rows of the log in the order of their time; `outcome` is "unknown" where the lake has none."""

    sample: Sample
    model_version: Strings
    outcome: Strings
    degraded: int

    def of_version(self, version: str) -> Sample:
        return self.sample.where(self.model_version == version)

    @property
    def rows_by_version(self) -> dict[str, int]:
        return dict(Counter(self.model_version.tolist()))

    @property
    def rows_by_outcome(self) -> dict[str, int]:
        return dict(Counter(self.outcome.tolist()))


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """The newest known outcome of each case: its label (None: there will be none) and what happened."""

    key_fields: tuple[str, ...]
    by_key: Mapping[Key, tuple[float | None, str]]


def open_log(path: Path) -> sqlite3.Connection:
    """Read only. Raises MonitoringError if there is none: the set-up makes it, so it was never made or has gone."""
    if not prediction_log.is_made(path):
        raise MonitoringError(f"no prediction log at {path}; run `make setup`, or bring back the one that was there")
    return sqlite3.connect(read_only_uri(path), uri=True, timeout=30)


def newest_version(path: Path, use_case: UseCase) -> str:
    """The version that gave the newest answer. Raises NothingServed if there is none."""
    with closing(open_log(path)) as connection:
        row = connection.execute(
            "SELECT model_version FROM predictions WHERE use_case = ? ORDER BY sequence DESC LIMIT 1", (use_case.name,)
        ).fetchone()
    if row is None:
        raise NothingServed(
            f"{use_case.name}: the prediction log {path} has no answer of it yet; ask the service first"
        )
    return str(row[0])


def read_outcomes(lake: Lake, use_case: UseCase, *, start: datetime, known_by: datetime) -> Outcomes:
    """What became known in `[start's day, known_by]`; a correction that came later wins."""
    with lake.open(use_case_group(use_case.name)) as gold:
        table = gold.read(LABELS, days=days_between(start, known_by))
    if table.num_rows == 0:
        return Outcomes(key_fields=(), by_key={})
    table = table.sort_by("known_at")
    key_fields = tuple(field.name for field in use_case.request if field.name in table.column_names)
    if not key_fields:
        raise ValueError(f"{use_case.name}: its labels have no field of a request; build them anew")
    keys = zip(*(table[name].to_pylist() for name in key_fields), strict=True)
    facts = zip(*(table[name].to_pylist() for name in ("known_at", "label", "outcome")), strict=True)
    by_key = {
        key: (None if label is None else float(label), str(outcome))
        for key, (known_at, label, outcome) in zip(keys, facts, strict=True)
        if known_at <= known_by
    }
    return Outcomes(key_fields=key_fields, by_key=by_key)


def key_of(request: Mapping[str, object], outcomes: Outcomes, timestamps: frozenset[str]) -> Key:
    return tuple(
        datetime.fromisoformat(str(request[name])).astimezone(UTC) if name in timestamps else request[name]
        for name in outcomes.key_fields
    )


def read_answers(log: Path, use_case: UseCase, interval: DataInterval, outcomes: Outcomes) -> Answers:
    """Answers with `requested_at` in the interval, replayed ones left out.

    In the order of time, those of one instant in that of their requests: which of them are sampled later must not
    depend on which was logged first.
    """
    with closing(open_log(log)) as connection:
        rows = connection.execute(
            "SELECT requested_at, request, vector, probability, model_version, degraded FROM predictions "
            "WHERE use_case = ? AND requested_at >= ? AND requested_at < ? AND replayed = 0 "
            "ORDER BY requested_at, request, sequence",
            (use_case.name, to_microseconds(interval.start), to_microseconds(interval.end)),
        ).fetchall()
    timestamps = frozenset(field.name for field in use_case.request if field.type is RequestType.TIMESTAMP)
    nothing: tuple[float | None, str] = (None, UNKNOWN)
    found = [outcomes.by_key.get(key_of(json.loads(row[1]), outcomes, timestamps), nothing) for row in rows]
    label = np.array([np.nan if value is None else value for value, _ in found], np.float64)
    return Answers(
        sample=sample_of(
            use_case,
            vectors=[json.loads(row[2]) for row in rows],
            at=np.array([row[0] for row in rows], np.int64),
            probability=np.array([row[3] for row in rows], np.float64),
            label=label,
        ),
        model_version=strings([row[4] for row in rows]),
        outcome=strings([outcome for _, outcome in found]),
        degraded=sum(bool(json.loads(row[5] or "[]")) for row in rows),
    )


def strings(values: list[str]) -> Strings:
    array: Strings = np.empty(len(values), object)
    array[:] = values
    return array


def sample_of(
    use_case: UseCase,
    *,
    vectors: list[list[object]],
    at: np.ndarray,
    probability: np.ndarray,
    label: np.ndarray,
) -> Sample:
    """Columns out of logged vectors, which are in `use_case.vector` order.

    Raises ValueError if a vector has another length: the contract changed under the log.
    """
    columns = use_case.vector
    for vector in vectors:
        if len(vector) != len(columns):
            raise ValueError(
                f"{use_case.name}: a logged vector has {len(vector)} values, the contract {len(columns)}; "
                "a schema change needs a new feature service and a log that starts with it"
            )
    values = list(zip(*vectors, strict=True)) if vectors else [()] * len(columns)
    by_name = dict(zip((column.name for column in columns), values, strict=True))
    texts = [column.name for column in columns if column.type is ColumnType.STRING]
    return Sample(
        numeric={
            name: np.array([np.nan if value is None else value for value in column], np.float64)
            for name, column in by_name.items()
            if name not in texts
        },
        categorical={name: strings(["" if value is None else str(value) for value in by_name[name]]) for name in texts},
        at=at,
        probability=probability,
        label=label,
    )
