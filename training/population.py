"""Who could be asked about and what came of it: the rows of a training set before they have features.

The window ends at the time of admission less the longest label delay. Taking rows by whether their own label has come
would prefer those that were known early, which here are the flights that were on time.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from feature_repo.contracts.base import DataInterval, UseCase
from infra.lake import LABELS, POPULATION, Snapshot
from training.errors import UnfitData

NOT_KEYS = ("label", "outcome", "known_at")


@dataclass(frozen=True, kw_only=True)
class Population:
    """`rows` has the request's fields, `prediction_time` and `label`; `unlabelled` counts the others by outcome."""

    rows: pa.Table
    interval: DataInterval
    unlabelled: dict[str, int]


def read_population(gold: Snapshot, use_case: UseCase, *, now: datetime) -> Population:
    """Rows in order of time and key. Raises UnfitData if there is none before `now` less the label delay."""
    end = now - use_case.label.max_delay
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        view(connection, gold, POPULATION, "prediction_time", end)
        view(connection, gold, LABELS, "known_at", now)
        fields = [field.name for field in use_case.request]
        keys = [name for name in columns(connection, "labels") if name in fields and name not in NOT_KEYS]
        if not keys:
            raise UnfitData(
                f"{gold.group}/{LABELS} has no field of the request to join by; select some in the SQL of labels"
            )
        joined = connection.execute(
            f"SELECT p.*, l.label, l.outcome FROM population p LEFT JOIN labels l USING ({', '.join(keys)}) "
            f"ORDER BY prediction_time, {', '.join(keys)}"
        ).to_arrow_table()
        connection.register("joined", joined)
        unlabelled = connection.execute(
            "SELECT COALESCE(outcome, 'unknown'), COUNT(*) FROM joined WHERE label IS NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        rows = connection.execute(
            f"SELECT {', '.join(fields)}, prediction_time, label::TINYINT AS label FROM joined WHERE label IS NOT NULL"
        ).to_arrow_table()
    if len(rows) == 0:
        raise UnfitData(f"{use_case.name}: no labelled row before {end.isoformat()}; ingest and build more history")
    return Population(
        rows=rows,
        interval=DataInterval(start=rows["prediction_time"][0].as_py(), end=end),
        unlabelled={str(outcome): int(count) for outcome, count in unlabelled},
    )


def view(connection: duckdb.DuckDBPyConnection, gold: Snapshot, table: str, column: str, end: datetime) -> None:
    """A gold table's rows before `end`. Raises UnfitData if the table has no row yet."""
    rows = gold.sql(table)
    if rows is None:
        raise UnfitData(f"{gold.group}/{table} has no row; run first: python -m feature_repo build USE_CASE")
    connection.execute(f"CREATE VIEW {table} AS SELECT * FROM {rows} WHERE {column} < TIMESTAMPTZ '{end.isoformat()}'")


def columns(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(f"DESCRIBE {name}").fetchall()]
