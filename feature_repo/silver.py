"""The rows of silver that have given keys, found without reading its history.

A row that is delivered again has the same key, so the same time in it; each of silver's files says between which times
its rows' keys lie. Only files that can hold one of the keys are opened: of rows that come when they should, those of a
few days; of an old row, those of its own days.
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.sources import Source
from infra.lake import SILVER, Snapshot
from infra.quoting import parquet_files

ROUNDED_BY = 1000  # a bound may be cut to milliseconds


def rows_of_keys(connection: duckdb.DuckDBPyConnection, source: Source, held: Snapshot, wanted: str) -> str | None:
    """SQL for silver's rows that have a key of the table `wanted`; None if there can be none."""
    times = connection.sql(f"SELECT DISTINCT epoch_us({source.key_time}) FROM {wanted} ORDER BY 1").fetchnumpy()
    files = files_of_times(source, held, np.asarray(next(iter(times.values())), np.int64))
    if not files:
        return None
    return f"(FROM {parquet_files(*files)} SEMI JOIN {wanted} USING ({', '.join(source.key)}))"


def files_of_times(source: Source, held: Snapshot, times: np.ndarray) -> list[Path]:
    """Silver's files that may hold a row whose key has one of the times, ascending microseconds."""
    added = held.added(SILVER)
    if added.num_rows == 0:
        return []
    lowest, highest = (
        pc.cast(added[f"{bound}.{source.key_time}"], pa.int64()).to_numpy(zero_copy_only=False)
        for bound in ("min", "max")
    )
    first = np.searchsorted(times, lowest)
    past = np.searchsorted(times, highest + ROUNDED_BY, side="right")
    return held.paths(SILVER, added.filter(pa.array(past > first)))
