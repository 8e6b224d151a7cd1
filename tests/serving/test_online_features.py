import shutil
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from feature_repo.contracts.base import ColumnType, Value
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.clock import ReplayClock
from serving.online_features import STORE_MISSING, STORE_STALE, STORE_UNREADABLE, OnlineFeatures
from tests.serving.feast_store import FeastStore

INSTANT = datetime(2013, 7, 1, 12, tzinfo=UTC)
AVAILABLE_AT = INSTANT + FLIGHT_DELAY.lag
NOW = INSTANT + timedelta(minutes=10)

ENTITIES = {
    "origin": ["EWR", "JFK", "LGA"],
    "carrier": ["UA", "B6", "9E", "é"],
    "destination": ["IAH", "SFO", "BQN"],
    "tail_number": ["N14228", "N0", "N" * 8],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> FeastStore:
    """Feast's own files, every view with every entity: extremes, nulls and negative integers among the values."""
    store = FeastStore(FLIGHT_DELAY, tmp_path_factory.mktemp("feast"))
    random = np.random.default_rng(7)
    special = [0.0, -0.0, 1e-45, 3.4e38, -1.5, 1 / 3]
    for view in FLIGHT_DELAY.views:
        rows = []
        for keys in product(*(ENTITIES[key] for key in view.join_keys)):
            row: dict[str, object] = dict(zip(view.join_keys, keys, strict=True))
            for column in view.columns:
                integers = (None, 0, -1, 2**62, 1372680000)
                number = random.normal() * 100 if random.random() < 0.6 else random.choice(special)
                value = None if random.random() < 0.2 else np.float32(number)
                row[column.name] = (
                    integers[random.integers(len(integers))] if column.type is ColumnType.INT64 else value
                )
            rows.append(row)
        store.write(view.name, rows, AVAILABLE_AT)
    store.publish(INSTANT)
    return store


@pytest.fixture
def store(written: FeastStore, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copy(written.path, tmp_path / "online_store.db"))


@pytest.fixture
def clock(tmp_path: Path) -> ReplayClock:
    clock = ReplayClock(tmp_path / "clock")
    clock.advance(NOW)
    return clock


@pytest.fixture
def features(store: Path, clock: ReplayClock) -> Iterator[OnlineFeatures]:
    features = OnlineFeatures(FLIGHT_DELAY, store, clock)
    yield features
    features.close()


def all_requests() -> list[dict[str, object]]:
    return [dict(zip(ENTITIES, values, strict=True)) for values in product(*ENTITIES.values())]


def request(**changes: object) -> dict[str, object]:
    return {"origin": "EWR", "carrier": "UA", "destination": "IAH", "tail_number": "N14228", **changes}


def same(ours: Value, theirs: object) -> bool:
    if isinstance(ours, float):
        return isinstance(theirs, float) and struct.pack("<f", ours) == struct.pack("<f", theirs)
    return ours == theirs and type(ours) is type(theirs)


def test_every_row_that_feast_wrote_is_read_as_feast_reads_it(written: FeastStore, features: OnlineFeatures) -> None:
    requests = all_requests()

    ours, theirs = features.read(requests), written.read(requests)

    assert len(ours.features) == 3 * 4 * 3 * 3
    assert ours.as_of == INSTANT
    assert not any(ours.reasons)
    different = [
        (name, mine[name], feasts[name])
        for mine, feasts in zip(ours.features, theirs, strict=True)
        for name in mine
        if not same(mine[name], feasts[name])
    ]
    assert different == []


def test_the_comparison_with_feast_notices_a_changed_value(
    written: FeastStore, store: Path, clock: ReplayClock
) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute(
            "UPDATE flywheel_origin_weather SET value = x'350000803f' WHERE feature_name = 'weather_humidity'"
        )
    connection.close()
    changed = OnlineFeatures(FLIGHT_DELAY, store, clock).read(all_requests())

    theirs = written.read(all_requests())

    assert any(
        not same(mine["weather_humidity"], feasts["weather_humidity"])
        for mine, feasts in zip(changed.features, theirs, strict=True)
    )


def test_an_unknown_entity_is_absent_and_named_by_its_view_alone(features: OnlineFeatures) -> None:
    read = features.read([request(origin="XXX"), request(tail_number=None)])

    assert read.reasons[0] == ("absent:origin_traffic", "absent:origin_carrier_traffic", "absent:origin_weather")
    assert read.reasons[1] == ("absent:aircraft",)
    assert read.features[1]["aircraft_back_at"] is None
    assert read.features[0]["weather_humidity"] is None


@pytest.mark.parametrize(("early", "served"), [(1, True), (0, False)], ids=["a microsecond before", "at its end"])
def test_a_row_is_served_until_its_time_to_live_ends(store: Path, clock: ReplayClock, early: int, served: bool) -> None:
    short = replace(FLIGHT_DELAY, views=(replace(FLIGHT_DELAY.views[0], ttl=timedelta(hours=2)),))
    clock.advance(AVAILABLE_AT + timedelta(hours=2) - timedelta(microseconds=early))

    read = OnlineFeatures(short, store, clock).read([request()])

    assert (read.reasons[0] == ()) is served
    assert any(value is not None for value in read.features[0].values()) is served
    assert served or read.reasons[0] == ("expired:origin_traffic",)


def test_a_store_that_nobody_writes_for_more_than_three_steps_is_stale(
    features: OnlineFeatures, clock: ReplayClock
) -> None:
    clock.advance(AVAILABLE_AT + 3 * FLIGHT_DELAY.step)
    assert features.read([request()]).reasons == [()]

    clock.advance(AVAILABLE_AT + 3 * FLIGHT_DELAY.step + timedelta(microseconds=1))
    read = features.read([request()])

    assert read.reasons == [(STORE_STALE,)]
    assert read.as_of == INSTANT
    assert set(read.features[0].values()) == {None}


def test_a_missing_store_is_a_reason_and_is_found_again_when_it_comes_back(
    features: OnlineFeatures, store: Path
) -> None:
    away = store.rename(store.with_suffix(".away"))

    read = features.read([request()])
    assert read.reasons == [(STORE_MISSING,)]
    assert read.as_of is None

    away.rename(store)
    assert features.read([request()]).reasons == [()]


def test_a_store_of_garbage_is_a_reason(tmp_path: Path, clock: ReplayClock) -> None:
    path = tmp_path / "garbage.db"
    path.write_bytes(b"not a database" * 1000)

    assert OnlineFeatures(FLIGHT_DELAY, path, clock).read([request()]).reasons == [(STORE_UNREADABLE,)]


def test_a_locked_store_is_a_reason_within_a_tenth_of_a_second(
    features: OnlineFeatures, store: Path, clock: ReplayClock
) -> None:
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")

    read = features.read([request()])

    assert read.reasons == [(STORE_UNREADABLE,)]
    holder.execute("ROLLBACK")
    holder.close()
    assert features.read([request()]).reasons == [()]


def test_reads_go_on_while_a_writer_publishes_and_never_mix_two_instants(
    features: OnlineFeatures, store: Path, clock: ReplayClock
) -> None:
    before = features.read([request()])
    writer = sqlite3.connect(store, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE flywheel_origin_weather SET value = x'3500000040'")
    writer.execute("UPDATE flywheel_watermark SET instant = instant + 3600000000")

    during = features.read([request()])
    writer.execute("COMMIT")
    writer.close()
    clock.advance(NOW + timedelta(hours=1))
    after = features.read([request()])

    assert (during.as_of, during.features) == (before.as_of, before.features)
    assert after.as_of == INSTANT + timedelta(hours=1)
    assert after.features[0]["weather_humidity"] == 2.0


EMPTY_STORES = {
    "without a byte": ("", STORE_UNREADABLE),
    "without a watermark": (
        "CREATE TABLE flywheel_watermark (use_case TEXT PRIMARY KEY, instant INTEGER)",
        STORE_MISSING,
    ),
    "with a watermark alone": (
        "CREATE TABLE flywheel_watermark (use_case TEXT PRIMARY KEY, instant INTEGER);"
        "INSERT INTO flywheel_watermark VALUES ('flight_delay', 1372680000000000)",
        STORE_UNREADABLE,
    ),
}


@pytest.mark.parametrize(("script", "reason"), EMPTY_STORES.values(), ids=EMPTY_STORES.keys())
def test_a_store_that_nobody_has_filled_is_a_reason(
    tmp_path: Path, clock: ReplayClock, script: str, reason: str
) -> None:
    path = tmp_path / "online_store.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()

    read = OnlineFeatures(FLIGHT_DELAY, path, clock).read([request(), request()])

    assert read.reasons == [(reason,)] * 2
    assert {value for features in read.features for value in features.values()} == {None}


def test_a_store_of_views_without_a_row_has_every_view_absent(store: Path, clock: ReplayClock) -> None:
    with sqlite3.connect(store) as connection:
        for view in FLIGHT_DELAY.views:
            connection.execute(f"DELETE FROM flywheel_{view.name}")
    connection.close()

    read = OnlineFeatures(FLIGHT_DELAY, store, clock).read([request()])

    assert read.reasons == [tuple(f"absent:{view.name}" for view in FLIGHT_DELAY.views)]


def test_a_row_of_empty_cells_is_a_row_of_absent_values(store: Path, clock: ReplayClock) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE flywheel_origin_weather SET value = x''")
    connection.close()

    read = OnlineFeatures(FLIGHT_DELAY, store, clock).read([request()])

    assert read.reasons == [()]
    assert {read.features[0][column.name] for column in FLIGHT_DELAY.views[4].columns} == {None}
