"""Would training have seen what serving used? Logged vectors against a join of the gold tables, bit for bit.

A sample of acknowledged answers is computed again from nothing but its request and time: Feast joins the views as they
could be served when it was asked, the contract adds the request-time features. An answer that was given from an older
instant than was due is compared at its own instant and counted as `behind`: a slow writer is a number, not a mismatch.
"""

import json
import random
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from feature_repo.contracts import prediction_log
from feature_repo.contracts.base import Column, ColumnType, RequestType, UseCase, Value
from feature_repo.errors import ParityError
from feature_repo.feast_sdk import FeatureStore
from feature_repo.offline import AS_OF, historical_features
from infra.clock import from_microseconds, to_microseconds
from infra.quoting import read_only_uri
from infra.whole_file import whole_file

STALE_AFTER_STEPS = 3
MAX_EXAMPLES = 10
FLOAT = struct.Struct("<f")


@dataclass(frozen=True, kw_only=True)
class Answer:
    prediction_id: str
    requested_at: datetime
    as_of: datetime | None
    request: Mapping[str, object]
    vector: Sequence[Value]


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    prediction_id: str
    column: str
    online: Value
    offline: Value


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """`compared` answers, of which `mismatched` differ somewhere; `featureless` ones had no store to read."""

    compared: int
    mismatched: int
    behind: int
    featureless: int
    examples: tuple[Mismatch, ...]


def compare(use_case: UseCase, store: FeatureStore, answers: Sequence[Answer]) -> ParityReport:
    """Raises ParityError if there is nothing to compare."""
    if not answers:
        raise ParityError(
            f"{use_case.name}: no logged answer whose features gold covers; serve, build, then run this again"
        )
    served_at = [time_of(use_case, answer) for answer in answers]
    offline = historical_features(store, use_case, entity_rows(use_case, answers, served_at))
    columns = [offline[column.name].to_pylist() for column in use_case.view_columns]
    found: list[list[Mismatch]] = []
    for index, answer in enumerate(answers):
        features = dict(
            zip((column.name for column in use_case.view_columns), (c[index] for c in columns), strict=True)
        )
        if served_at[index] is None:
            features = dict.fromkeys(features)
        found.append(differences(use_case, answer, features))
    wrong = [mismatches for mismatches in found if mismatches]
    return ParityReport(
        compared=len(answers),
        mismatched=len(wrong),
        behind=sum(is_behind(use_case, answer) for answer in answers),
        featureless=sum(moment is None for moment in served_at),
        examples=tuple(mismatch for mismatches in wrong for mismatch in mismatches)[:MAX_EXAMPLES],
    )


def is_behind(use_case: UseCase, answer: Answer) -> bool:
    return answer.as_of is not None and answer.as_of < use_case.floor(answer.requested_at - use_case.lag)


def time_of(use_case: UseCase, answer: Answer) -> datetime | None:
    """When its features could be served; None if it had none, the store being unreadable or stale."""
    if answer.as_of is None:
        return None
    if answer.requested_at - (answer.as_of + use_case.lag) > STALE_AFTER_STEPS * use_case.step:
        return None
    return answer.as_of + use_case.lag if is_behind(use_case, answer) else answer.requested_at


def entity_rows(use_case: UseCase, answers: Sequence[Answer], served_at: Sequence[datetime | None]) -> pa.Table:
    keys = sorted({key for view in use_case.views for key in view.join_keys})
    moments = [moment or answer.requested_at for moment, answer in zip(served_at, answers, strict=True)]
    columns = {key: pa.array([answer.request[key] for answer in answers], pa.string()) for key in keys}
    return pa.table({**columns, AS_OF: pa.array(moments, pa.timestamp("us", "UTC"))})


def differences(use_case: UseCase, answer: Answer, features: Mapping[str, Value]) -> list[Mismatch]:
    computed = {**features, **use_case.request_features(answer.request, features)}
    return [
        Mismatch(prediction_id=answer.prediction_id, column=column.name, online=logged, offline=computed[column.name])
        for column, logged in zip(use_case.vector, answer.vector, strict=True)
        if not same(column, logged, computed[column.name])
    ]


def same(column: Column, one: Value, other: Value) -> bool:
    """float32 by its bytes, the others by value; absent equals absent."""
    if one is None or other is None:
        return one is other
    if column.type is ColumnType.FLOAT32:
        return FLOAT.pack(one) == FLOAT.pack(other)
    return one == other


def sample(use_case: UseCase, log: Path, *, before: datetime, number: int, seed: int) -> list[Answer]:
    """Answers asked for before the given time, chosen by the seed alone. Raises ParityError if there is no log."""
    if not prediction_log.is_made(log):
        raise ParityError(f"no prediction log {log}; serve some requests first")
    with closing(sqlite3.connect(read_only_uri(log), uri=True, timeout=30)) as connection:
        chosen = [
            sequence
            for (sequence,) in connection.execute(
                "SELECT sequence FROM predictions WHERE use_case = ? AND requested_at < ? ORDER BY sequence",
                (use_case.name, to_microseconds(before)),
            )
        ]
        if len(chosen) > number:
            chosen = sorted(random.Random(seed).sample(chosen, number))  # noqa: S311  chosen to be repeatable
        query = "SELECT prediction_id, requested_at, as_of, request, vector FROM predictions WHERE sequence = ?"
        return [answer_of(use_case, connection.execute(query, (sequence,)).fetchone()) for sequence in chosen]


def answer_of(use_case: UseCase, row: tuple[str, int, int | None, str, str]) -> Answer:
    prediction_id, requested_at, as_of, request, vector = row
    return Answer(
        prediction_id=prediction_id,
        requested_at=from_microseconds(requested_at),
        as_of=None if as_of is None else from_microseconds(as_of),
        request=parse_request(use_case, json.loads(request)),
        vector=json.loads(vector),
    )


def parse_request(use_case: UseCase, raw: Mapping[str, object]) -> dict[str, object]:
    """The request as the service held it: timestamps are aware."""
    times = {field.name for field in use_case.request if field.type is RequestType.TIMESTAMP}
    return {name: datetime.fromisoformat(str(value)) if name in times else value for name, value in raw.items()}


def keep(report: ParityReport, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(asdict(report)))


def summary(report: ParityReport) -> str:
    """For a person to read."""
    first = (
        f"compared {report.compared}, mismatched {report.mismatched}, behind {report.behind}, "
        f"without features {report.featureless}"
    )
    lines = (
        f"  {each.prediction_id} {each.column}: online {each.online!r}, offline {each.offline!r}"
        for each in report.examples
    )
    return "\n".join((first, *lines))
