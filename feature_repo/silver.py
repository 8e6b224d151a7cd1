"""The rows of silver that have given keys, found without reading its history.

A row that is delivered again says the same time of its own again, and each of silver's files says between which times
its rows lie: of an old row, only the files of that time are opened. Rows of the newest days are found by their key
alone, so that another time for the same key is found too, for as long as the source declares.
"""

from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.sources import DELIVERED_AT, Source
from infra.lake import DAY_OF_FILE, SILVER, Snapshot
from infra.quoting import parquet_files


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
    is_older = pc.and_(pc.invert(is_newest), may_hold_times_of(connection, source, held, wanted))
    key, columns_of = ", ".join(source.key), f"SELECT {', '.join(source.columns)} FROM {wanted} WHERE false"
    parts = [  # a column that was declared after the files were written is absent in them
        f"FROM ({columns_of} UNION ALL BY NAME FROM {parquet_files(*files)}) SEMI JOIN {wanted} USING ({columns})"
        for chosen, columns in ((is_newest, key), (is_older, f"{key}, {source.time}"))
        if (files := held.paths(SILVER, added.filter(chosen)))
    ]
    return f"({' UNION ALL BY NAME '.join(parts)})" if parts else None


def rows_ahead(source: Source, held: Snapshot, moment: datetime) -> str | None:
    """SQL for silver's rows delivered before `moment` whose own time is not before it; None if there can be none."""
    files = held.paths(SILVER, held.touching(SILVER, source.time, moment, datetime.max.replace(tzinfo=UTC)))
    bound = f"TIMESTAMPTZ '{moment.isoformat()}'"
    where = f"{DELIVERED_AT} < {bound} AND {source.time} >= {bound}"
    return f"(FROM {parquet_files(*files)} WHERE {where})" if files else None


def may_hold_times_of(
    connection: duckdb.DuckDBPyConnection, source: Source, held: Snapshot, wanted: str
) -> pa.BooleanArray:
    """For each of silver's files, whether a row in it may have a time that `wanted` has."""
    query = f"SELECT DISTINCT epoch_us({source.time}) AS time FROM {wanted} WHERE {source.time} IS NOT NULL ORDER BY 1"
    times = np.asarray(connection.sql(query).fetchnumpy()["time"], np.int64)
    lowest, highest = held.bounds(SILVER, source.time)
    first, past = np.searchsorted(times, lowest), np.searchsorted(times, highest, side="right")
    return pa.array(past > first, pa.bool_())
