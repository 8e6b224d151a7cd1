"""What of a delivery is taken in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.contracts.base import DataInterval
from feature_repo.expectations import Ordered
from feature_repo.landing import write_delivery
from feature_repo.microbatch import MicroBatch
from feature_repo.sources import Source
from feature_repo.use_cases.flight_delay import FLIGHTS, SOURCES, TRANSFORMS, WEATHER
from tests.feature_repo import landed

OBSERVED = datetime(2013, 3, 1, 9, tzinfo=UTC)
DELIVERED = OBSERVED + timedelta(hours=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIME = pa.timestamp("us", "UTC")
COLD, MILD, NO_TEMPERATURE_AT_ALL = 20.0, 50.0, 999.0


@pytest.fixture
def micro_batch(tmp_path: Path) -> MicroBatch:
    landed.set_up(tmp_path)
    return MicroBatch(TRANSFORMS, SOURCES, landed.lake_of(tmp_path))


def deliver(micro_batch: MicroBatch, before: datetime, *temperatures: float) -> None:
    """The same observation of one airport once for each temperature, a second apart, in one delivery."""
    rows = [
        {
            "origin": "EWR",
            "observed_at": OBSERVED,
            "temperature": temperature,
            "delivered_at": before - HOUR + timedelta(seconds=second),
        }
        for second, temperature in enumerate(temperatures)
    ]
    write_delivery(micro_batch.lake.root, "weather", before, pa.Table.from_pylist(rows, schema=WEATHER.schema))
    micro_batch.take_deliveries(before)


NOTHING = {
    "no rows": WEATHER.schema.empty_table(),
    "no rows, no types": pa.table({name: pa.nulls(0) for name in WEATHER.columns}),
    "nothing in the rows": pa.Table.from_pylist([{"delivered_at": OBSERVED}] * 2, schema=WEATHER.schema),
    "no types but the time's": pa.table(
        {**{name: pa.nulls(2) for name in WEATHER.types}, "delivered_at": pa.array([OBSERVED] * 2, TIME)}
    ),
    "empty strings": pa.Table.from_pylist(
        [{"origin": "", "observed_at": OBSERVED, "delivered_at": OBSERVED}], schema=WEATHER.schema
    ),
}


@pytest.mark.parametrize("rows", NOTHING.values(), ids=NOTHING)
def test_a_delivery_without_a_clean_row_is_taken_and_the_next_one_too(micro_batch: MicroBatch, rows: pa.Table) -> None:
    for before in (DELIVERED - HOUR / 2, DELIVERED):
        write_delivery(micro_batch.lake.root, "weather", before, rows)
        micro_batch.take_deliveries(before)
        assert not any(micro_batch.features_at(before).values())
    assert len(micro_batch.taken_files["weather"]) == 2
    deliver(micro_batch, DELIVERED + HOUR, COLD)
    assert taken(micro_batch) == [COLD]
    assert list(micro_batch.features_at(DELIVERED + HOUR)["origin_weather"]) == [("EWR",)]


def taken(micro_batch: MicroBatch) -> list[float]:
    return [temperature for (temperature,) in micro_batch.connection.sql("SELECT temperature FROM weather").fetchall()]


def test_of_a_key_that_is_delivered_twice_at_once_the_first_row_stays(micro_batch: MicroBatch) -> None:
    deliver(micro_batch, DELIVERED, COLD, MILD)
    assert taken(micro_batch) == [COLD]


def test_a_bad_row_does_not_keep_out_a_good_one_of_its_key(micro_batch: MicroBatch) -> None:
    deliver(micro_batch, DELIVERED, NO_TEMPERATURE_AT_ALL, MILD, COLD)
    assert taken(micro_batch) == [MILD]


def test_a_key_that_was_taken_in_before_keeps_its_first_row(micro_batch: MicroBatch) -> None:
    deliver(micro_batch, DELIVERED, COLD)
    micro_batch.features_at(DELIVERED)
    deliver(micro_batch, DELIVERED + HOUR, MILD)
    assert taken(micro_batch) == [COLD]
    deliver(micro_batch, DELIVERED + 2 * HOUR, NO_TEMPERATURE_AT_ALL, MILD)
    assert taken(micro_batch) == [COLD]


@pytest.fixture(scope="module")
def twelve_days(year: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More days than the sources keep keys for, landed by the day and ingested."""
    root = tmp_path_factory.mktemp("days")
    landed.set_up(root)
    for name, rows in year.items():
        for day in range(12):
            start = landed.START + timedelta(days=day)
            write_delivery(root, name, start + DAY, landed.between(rows, start, start + DAY))
        landed.ingest(root, name, DataInterval(start=landed.START, end=landed.START + 12 * DAY))
    return root


def held(micro_batch: MicroBatch, source: Source) -> pa.Table:
    columns = ", ".join(source.columns)
    return micro_batch.connection.sql(f"SELECT {columns} FROM {source.name} ORDER BY ALL").to_arrow_table()


def test_one_that_starts_again_takes_every_row_that_silver_has(twelve_days: Path) -> None:
    micro_batch = MicroBatch(TRANSFORMS, SOURCES, landed.lake_of(twelve_days))
    micro_batch.take_deliveries(landed.START + 12 * DAY)
    for source in SOURCES:
        silver = landed.silver(twelve_days, source.name).select(source.columns)
        order = [(name, "ascending") for name in source.columns]
        assert held(micro_batch, source).num_rows == silver.num_rows
        assert held(micro_batch, source).cast(silver.schema).sort_by(order).equals(silver.sort_by(order))


# Weather that is known before its time: without the rule that forbids that.
FORECAST = replace(WEATHER, expectations=tuple(rule for rule in WEATHER.expectations if not isinstance(rule, Ordered)))


def observed(at: datetime, delivered_at: datetime, temperature: float = 40.0) -> pa.Table:
    row = {"origin": "EWR", "observed_at": at, "temperature": temperature, "delivered_at": delivered_at}
    return pa.Table.from_pylist([row], schema=WEATHER.schema)


def num_new(root: Path, weather: Source, delivered: pa.Table, before: datetime) -> int:
    """How many of the rows a micro-batch takes that starts on that delivery."""
    micro_batch = MicroBatch(TRANSFORMS, (FLIGHTS, weather), landed.lake_of(root))
    micro_batch.take_deliveries(before - HOUR)
    num_held = held(micro_batch, WEATHER).num_rows
    write_delivery(root, "weather", before, delivered)
    micro_batch.take_deliveries(before)
    return int(held(micro_batch, WEATHER).num_rows - num_held)


@pytest.mark.parametrize(
    ("ingested", "num_taken"), [(True, 0), (False, 1)], ids=["in silver", "the control: not there"]
)
def test_an_old_row_that_comes_again_after_everything_about_it_was_forgotten_is_looked_for_in_silver(
    tmp_path: Path, ingested: bool, num_taken: int
) -> None:
    landed.set_up(tmp_path)
    write_delivery(tmp_path, "weather", DELIVERED + HOUR, observed(OBSERVED, DELIVERED))
    if ingested:
        landed.ingest(tmp_path, "weather", DataInterval(start=DELIVERED, end=DELIVERED + HOUR))
    again = DELIVERED + 60 * DAY
    assert num_new(tmp_path, WEATHER, observed(OBSERVED, again), again + HOUR) == num_taken


@pytest.mark.parametrize(
    ("ingested", "num_taken"), [(True, 0), (False, 1)], ids=["in silver", "the control: not there"]
)
def test_a_row_of_a_time_ahead_is_known_until_that_time_has_passed(
    tmp_path: Path, ingested: bool, num_taken: int
) -> None:
    """Delivered first before all that a new micro-batch reads, and its own time lies after that."""
    landed.set_up(tmp_path)
    ahead = DELIVERED + 60 * DAY
    write_delivery(tmp_path, "weather", DELIVERED + HOUR, observed(ahead, DELIVERED))
    if ingested:
        landed.ingest(tmp_path, FORECAST, DataInterval(start=DELIVERED, end=DELIVERED + HOUR))
    again = ahead - DAY
    assert num_new(tmp_path, FORECAST, observed(ahead, again), again + HOUR) == num_taken


def test_keys_are_forgotten_once_their_time_has_passed(twelve_days: Path) -> None:
    micro_batch = MicroBatch(TRANSFORMS, SOURCES, landed.lake_of(twelve_days))
    end = landed.START + 12 * DAY
    micro_batch.take_deliveries(end)
    num_taken = held(micro_batch, WEATHER).num_rows
    known = micro_batch.known_keys["weather"].kept_by
    young = sum(
        moment >= end - WEATHER.keys_kept
        for moment in landed.silver(twelve_days, "weather")["delivered_at"].to_pylist()
    )
    assert young == len(known) < 0.7 * num_taken
