"""The rows of silver that have given keys, found without reading its history.

A row that is delivered again says the same time of its own again, and each of silver's files says between which times
its rows lie: of an old row, only the files of that time are opened. Rows of the newest days are found by their key
alone, so that another time for the same key is found too, for as long as the source declares.
"""

from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.sources import DELIVERED_AT, Source
from infra.lake import DAY_OF_FILE, SILVER, Snapshot
from infra.quoting import parquet_files

ROUNDED_BY = 1000  # microseconds: a bound may be cut to milliseconds


def rows_of_keys(
    connection: duckdb.DuckDBPyConnection, source: Source, held: Snapshot, wanted: str, *, newest_from: date
) -> str | None:
    """SQL for silver's rows that have a key of the table `wanted`; None if there can be none.

    Of days before `newest_from` only those that also have the same time of their own.
    """
    added = held.added(SILVER)
    if added.num_rows == 0:
        return None
    is_newest = pc.greater_equal(added[DAY_OF_FILE], pa.scalar(newest_from, pa.date32()))
    newest, older = added.filter(is_newest), added.filter(pc.invert(is_newest))
    key = ", ".join(source.key)
    parts = [
        f"FROM {parquet_files(*files)} SEMI JOIN {wanted} USING ({columns})"
        for files, columns in (
            (held.paths(SILVER, newest), key),
            (files_of_times(connection, source, held, older, wanted), f"{key}, {source.time}"),
        )
        if files
    ]
    return f"({' UNION ALL BY NAME '.join(parts)})" if parts else None


def rows_ahead(source: Source, held: Snapshot, moment: datetime) -> str | None:
    """SQL for silver's rows delivered before `moment` whose own time is not before it; None if there can be none."""
    added, at = held.added(SILVER), pa.scalar(moment, pa.timestamp("us", "UTC"))
    if added.num_rows == 0:
        return None
    reaches = pc.greater_equal(added[f"max.{source.time}"], pc.subtract(at, pa.scalar(ROUNDED_BY, pa.duration("us"))))
    files = held.paths(SILVER, added.filter(reaches))
    bound = f"TIMESTAMPTZ '{moment.isoformat()}'"
    where = f"{DELIVERED_AT} < {bound} AND {source.time} >= {bound}"
    return f"(FROM {parquet_files(*files)} WHERE {where})" if files else None


def files_of_times(
    connection: duckdb.DuckDBPyConnection, source: Source, held: Snapshot, added: pa.Table, wanted: str
) -> list[Path]:
    """Those of the files that may hold a row with a time that `wanted` has."""
    query = f"SELECT DISTINCT epoch_us({source.time}) AS time FROM {wanted} WHERE {source.time} IS NOT NULL ORDER BY 1"
    times = np.asarray(connection.sql(query).fetchnumpy()["time"], np.int64)
    lowest, highest = (
        added[f"{bound}.{source.time}"].cast(pa.int64()).to_numpy(zero_copy_only=False) for bound in ("min", "max")
    )
    first = np.searchsorted(times, lowest)
    past = np.searchsorted(times, highest + ROUNDED_BY, side="right")
    return held.paths(SILVER, added.filter(pa.array(past > first)))
