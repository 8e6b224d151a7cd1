from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import landing
from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.errors import DeliveryError
from feature_repo.landing import deliveries, load, read_delivery, write_delivery
from feature_repo.use_cases.flight_delay import FLIGHTS
from feature_repo.validation import connect
from tests.feature_repo.landed import START, TWO_DAYS, land, put


def test_a_delivery_reads_back_as_it_was_written(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    path = write_delivery(tmp_path, "flights", TWO_DAYS.end, two_days["flights"])
    read = read_delivery(FLIGHTS, path, TWO_DAYS)
    assert path.name == "20130210T000000Z.parquet"
    assert read.drop_columns(["delivery"]).equals(two_days["flights"].select(FLIGHTS.columns))


def test_only_rows_of_the_interval_are_read(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    path = write_delivery(tmp_path, "flights", TWO_DAYS.end, two_days["flights"])
    first_hour = DataInterval(start=START, end=START + timedelta(hours=1))
    times = read_delivery(FLIGHTS, path, first_hour)["delivered_at"].to_pylist()
    assert times
    assert all(moment in first_hour for moment in times)


def test_files_named_at_or_before_the_start_cannot_hold_rows_of_the_interval(installation: Path) -> None:
    second_day = DataInterval(start=START + timedelta(days=1), end=TWO_DAYS.end)
    names = [path.name for path in deliveries(installation, "flights", second_day)]
    assert names == [
        f"201302{day}T{hour:02}0000Z.parquet" for day, hour in (("09", 6), ("09", 12), ("09", 18), ("10", 0))
    ]


def test_the_order_of_rows_does_not_depend_on_how_they_were_divided(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    connection, loaded = connect(), []
    for hours in (1, 24):
        land(tmp_path / str(hours), "flights", two_days["flights"], every=timedelta(hours=hours))
        files = deliveries(tmp_path / str(hours), "flights", TWO_DAYS)
        load(connection, FLIGHTS, list(reversed(files)), TWO_DAYS, "delivered_rows")
        loaded.append(connection.sql("SELECT * EXCLUDE (delivery) FROM delivered_rows ORDER BY row").to_arrow_table())
    assert loaded[0].equals(loaded[1])


def test_a_float_that_is_not_a_number_counts_as_absent(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    rows = put(two_days["flights"], "delay_minutes", [float("nan")] * 3)
    path, connection = write_delivery(tmp_path, "flights", TWO_DAYS.end, rows), connect()
    load(connection, FLIGHTS, [path], TWO_DAYS, "delivered_rows")
    assert connection.sql("SELECT count(*) FROM delivered_rows WHERE isnan(delay_minutes)").fetchall() == [(0,)]


def truncated(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(path: Path, rows: pa.Table) -> None:
    """Its footer is whole, its pages are not."""
    pq.write_table(rows, path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\0" * (len(content) // 2 - 4)
    path.write_bytes(bytes(content))


def renamed(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows.rename_columns({"delay_minutes": "delay"}), path)


def without_column(path: Path, rows: pa.Table) -> None:
    pq.write_table(rows.drop_columns(["carrier"]), path)


def other_type(path: Path, rows: pa.Table) -> None:
    index = rows.schema.get_field_index("flight")
    pq.write_table(rows.set_column(index, "flight", rows["flight"].cast(pa.string())), path)


def local_time(path: Path, rows: pa.Table) -> None:
    index = rows.schema.get_field_index("event_time")
    pq.write_table(rows.set_column(index, "event_time", rows["event_time"].cast(pa.timestamp("us"))), path)


def from_the_future(path: Path, rows: pa.Table) -> None:
    pq.write_table(put(rows, "delivered_at", [TWO_DAYS.end]), path)


def never_delivered(path: Path, rows: pa.Table) -> None:
    pq.write_table(put(rows, "delivered_at", [None, None]), path)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (truncated, r"cannot be read .*have the source deliver it again, or move the file away;"),
        (damaged, r"cannot be read"),
        (renamed, r"has no column delay_minutes; it has delay, which nobody declared: renamed\? Have the source"),
        (without_column, r"has no column carrier; have the source restore it"),
        (other_type, r"column flight of delivery .* is string, expected int64"),
        (local_time, r"column event_time .* is timestamp\[us\], expected timestamp\[us, tz=UTC\]"),
        (from_the_future, r"1 rows of .* have a delivered_at at or after the delivery's own time"),
        (never_delivered, r"2 rows of .* have no delivered_at"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_defect_of_a_whole_delivery_is_refused_with_what_to_do(
    write: Callable[[Path, pa.Table], None], sentence: str, tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    path = folders.landing(tmp_path, "flights") / f"{TWO_DAYS.end.strftime(landing.NAME_FORMAT)}.parquet"
    path.parent.mkdir(parents=True)
    write(path, two_days["flights"])
    with pytest.raises(DeliveryError, match=sentence) as refused:
        read_delivery(FLIGHTS, path, TWO_DAYS)
    assert str(path) in str(refused.value)
    assert str(refused.value).endswith(", or move the file away; then run this again")


def test_a_file_that_is_not_named_like_a_delivery_is_refused(tmp_path: Path) -> None:
    folder = folders.landing(tmp_path, "flights")
    folder.mkdir(parents=True)
    (folder / "january.parquet").touch()
    with pytest.raises(DeliveryError, match=r"january\.parquet is not named like a delivery") as refused:
        deliveries(tmp_path, "flights", TWO_DAYS)
    assert str(refused.value).endswith("; rename it, or move the file away; then run this again")


def test_a_wider_string_a_coarser_timestamp_and_an_empty_column_are_the_declared_types(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = two_days["flights"]
    for name, type_ in (("carrier", pa.large_string()), ("event_time", pa.timestamp("ms", "UTC"))):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].cast(type_))
    rows = rows.set_column(rows.schema.get_field_index("tail_number"), "tail_number", pa.nulls(rows.num_rows))
    path = write_delivery(tmp_path, "flights", TWO_DAYS.end, rows)
    assert read_delivery(FLIGHTS, path, TWO_DAYS).drop_columns(["delivery"]).schema.equals(FLIGHTS.schema)


def test_a_field_of_another_column_that_is_called_delivered_at_bounds_nothing(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    long_ago = {"delivered_at": START - timedelta(days=30)}
    rows = two_days["flights"]
    meta = pa.array([long_ago] * rows.num_rows, pa.struct([("delivered_at", pa.timestamp("us", "UTC"))]))
    path = write_delivery(tmp_path, "flights", TWO_DAYS.end, rows.add_column(0, "meta", meta))
    assert read_delivery(FLIGHTS, path, TWO_DAYS).num_rows == rows.num_rows
