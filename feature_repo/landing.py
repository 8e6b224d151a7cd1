"""Deliveries as they come: one Parquet file each, named by a time that all its rows were delivered before.

A delivery is checked as a file before any rule looks at a row: a corrupt file, a column gone, renamed or of another
type is a defect of the whole delivery, and guessing would put wrong values into right columns.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.errors import DeliveryError
from feature_repo.sources import DELIVERED_AT, Source
from infra.whole_file import whole_file

NAME_FORMAT = "%Y%m%dT%H%M%SZ"
OR_MOVE_AWAY = "or move the file away; then run this again"


def write_delivery(data_dir: Path, source: str, delivered_before: datetime, rows: pa.Table) -> Path:
    """Put one delivery down; it is visible whole or not at all."""
    folder = folders.landing(data_dir, source)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{delivered_before.astimezone(UTC).strftime(NAME_FORMAT)}.parquet"
    with whole_file(path) as unfinished:
        pq.write_table(rows, unfinished, compression="zstd")
    return path


def delivered_before(path: Path) -> datetime:
    try:
        return datetime.strptime(path.stem, NAME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise DeliveryError(
            f"{path} is not named like a delivery, <YYYYMMDDTHHMMSSZ>.parquet; rename it, {OR_MOVE_AWAY}"
        ) from error


def deliveries(data_dir: Path, source: str, interval: DataInterval) -> list[Path]:
    """The files that may hold rows of the interval, in order: a file's name bounds its rows from above only."""
    files = sorted(folders.landing(data_dir, source).glob("*.parquet"))
    return [path for path in files if delivered_before(path) > interval.start]


def load(
    connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[Path], interval: DataInterval, into: str
) -> int:
    """Make the table `into` of the interval's rows and return their number.

    It has the source's columns, `delivery` (the file's name) and `row`, which numbers the rows in an order that does
    not depend on the files' order or division. A float that is not a number counts as absent.
    """
    tables = [read_delivery(source, path, interval) for path in files]
    empty = source.schema.append(pa.field("delivery", pa.string())).empty_table()
    connection.register("delivered", pa.concat_tables([empty, *tables]))
    floats = ", ".join(f"nullif({name}, 'NaN'::DOUBLE) AS {name}" for name in source.float_columns)
    replace = f"REPLACE ({floats})" if floats else ""
    order = ", ".join((DELIVERED_AT, *source.types, "delivery"))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {into} AS "
        f"SELECT row_number() OVER (ORDER BY {order}) AS row, * FROM (SELECT * {replace} FROM delivered) ORDER BY row"
    )
    connection.unregister("delivered")
    return sum(table.num_rows for table in tables)


def read_delivery(source: Source, path: Path, interval: DataInterval) -> pa.Table:
    """One delivery's rows of the interval, with exactly the declared columns. Raises DeliveryError."""
    try:
        with pq.ParquetFile(path) as file:
            check_schema(source, path, file.schema_arrow)
            if lies_outside(file.metadata, interval):
                return source.schema.append(pa.field("delivery", pa.string())).empty_table()
            rows = (
                file.read(columns=list(source.columns), use_threads=False)
                .select(list(source.columns))
                .cast(source.schema)
            )
    except (pa.ArrowException, OSError) as error:
        raise DeliveryError(
            f"{source.name}: delivery {path} cannot be read ({one_line(error)}); "
            f"have the source deliver it again, {OR_MOVE_AWAY}"
        ) from error
    delivered_at = rows[DELIVERED_AT]
    if delivered_at.null_count:
        raise DeliveryError(
            f"{source.name}: {delivered_at.null_count} rows of {path} have no delivered_at, so they belong to no "
            "interval; it is stamped on arrival: correct whoever wrote the delivery and write it again, "
            f"{OR_MOVE_AWAY}"
        )
    late = pc.sum(pc.greater_equal(delivered_at, pa.scalar(delivered_before(path), delivered_at.type))).as_py()
    if late:
        raise DeliveryError(
            f"{source.name}: {late} rows of {path} have a delivered_at at or after the delivery's own time; "
            "a file holds only rows delivered before its name says; correct the clock of whoever wrote it and write it "
            f"again, {OR_MOVE_AWAY}"
        )
    inside = pc.and_(
        pc.greater_equal(delivered_at, pa.scalar(interval.start, delivered_at.type)),
        pc.less(delivered_at, pa.scalar(interval.end, delivered_at.type)),
    )
    chosen = rows.filter(inside)
    return chosen.append_column("delivery", pa.array([path.name] * chosen.num_rows, pa.string()))


def check_schema(source: Source, path: Path, found: pa.Schema) -> None:
    """Raises DeliveryError that names every column that is missing or of another type, and the unexpected ones."""
    missing = [name for name in source.columns if name not in found.names]
    if missing:
        unexpected = [name for name in found.names if name not in source.columns]
        others = f"it has {', '.join(unexpected)}, which nobody declared: renamed? Have" if unexpected else "have"
        raise DeliveryError(
            f"{source.name}: delivery {path} has no column {', '.join(missing)}; {others} the source restore it, "
            f"declare the change in the use case's source, {OR_MOVE_AWAY}"
        )
    for field in source.schema:
        actual = found.field(field.name).type
        if not fits(actual, field.type):
            raise DeliveryError(
                f"{source.name}: column {field.name} of delivery {path} is {actual}, expected {field.type}; "
                f"have the source restore the type, declare the change in the use case's source, {OR_MOVE_AWAY}"
            )


def fits(actual: pa.DataType, declared: pa.DataType) -> bool:
    """Equal, but for a timestamp's unit, a string's width, and a column that is null throughout."""
    if pa.types.is_null(actual) or actual == declared:
        return True
    if pa.types.is_timestamp(declared):
        return bool(pa.types.is_timestamp(actual)) and actual.tz in ("UTC", "+00:00")
    return bool(pa.types.is_string(declared) and pa.types.is_large_string(actual))


def lies_outside(metadata: pq.FileMetaData, interval: DataInterval) -> bool:
    """Whether the file's own statistics prove that no row belongs to the interval."""
    paths = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    index = paths.index(DELIVERED_AT)  # of the column itself: a nested one may have a field of that name
    bounds = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
    if not bounds or any(each is None or not each.has_min_max or each.null_count for each in bounds):
        return False
    first: datetime = min(each.min for each in bounds)
    last: datetime = max(each.max for each in bounds)
    return first >= interval.end or last < interval.start


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
