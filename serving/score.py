"""What a version would have answered on the logged vectors: the way to compare versions on the same traffic."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.contracts import prediction_log
from feature_repo.contracts.base import UseCase
from infra.clock import to_microseconds
from infra.settings import Settings
from infra.whole_file import whole_file
from serving.errors import NothingLogged, PackageRefused
from serving.model import Model
from serving.model_store import ModelStore
from serving.registry import Registry

CHUNK_ROWS = 2000
SCHEMA = pa.schema([("prediction_id", pa.string()), ("probability", pa.float64())])


def score(
    use_case: UseCase,
    settings: Settings,
    *,
    version: str,
    out: Path,
    start: datetime | None = None,
    end: datetime | None = None,
) -> int:
    """Writes `prediction_id, probability` of every logged prediction requested in [start, end); returns how many.

    A window without any gives a file without rows. Raises NothingLogged if there is no log at all.
    """
    if start is not None and end is not None and start >= end:
        raise ValueError(f"the window [{start.isoformat()}, {end.isoformat()}) is empty; give an end after its start")
    if not prediction_log.is_made(settings.prediction_log):
        raise NothingLogged(f"no prediction log at {settings.prediction_log}; start the service and ask it first")
    model = load_version(use_case, settings, version)
    num_rows = 0
    with whole_file(out) as unfinished, pq.ParquetWriter(unfinished, SCHEMA) as writer:
        for ids, vectors in logged_vectors(use_case, settings, start, end):
            writer.write_table(pa.table([ids, model.predict(vectors)], schema=SCHEMA))
            num_rows += len(ids)
    return num_rows


def load_version(use_case: UseCase, settings: Settings, number: str) -> Model:
    with Registry.of(settings) as registry:
        version = registry.version(use_case.name, number)
        if version is None:
            raise PackageRefused(
                f"the registry knows no version {number} of {use_case.name}; MLflow lists those it has"
            )
        return ModelStore.of(use_case, settings).load(registry, version)[0]


def logged_vectors(
    use_case: UseCase, settings: Settings, start: datetime | None, end: datetime | None
) -> Iterator[tuple[list[str], list[list[float | int | str | None]]]]:
    """In the log's order, without what a replay sent twice."""
    first = -(2**63) if start is None else to_microseconds(start)
    last = 2**63 - 1 if end is None else to_microseconds(end)
    with closing(sqlite3.connect(settings.prediction_log, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT prediction_id, vector FROM predictions WHERE use_case = ? AND replayed = 0 "
            "AND requested_at >= ? AND requested_at < ? ORDER BY sequence",
            (use_case.name, first, last),
        )
        while chunk := rows.fetchmany(CHUNK_ROWS):
            vectors = [json.loads(vector) for _, vector in chunk]
            check_lengths(use_case, vectors)
            yield [prediction_id for prediction_id, _ in chunk], vectors


def check_lengths(use_case: UseCase, vectors: list[list[float | int | str | None]]) -> None:
    """Raises ValueError for a vector that was logged under another contract: its values are in other places."""
    expected = len(use_case.vector)
    other = next((len(vector) for vector in vectors if len(vector) != expected), None)
    if other is not None:
        raise ValueError(
            f"{use_case.name}: a logged vector has {other} values, the contract {expected}; choose a window of answers "
            "that were given under this contract"
        )
