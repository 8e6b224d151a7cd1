from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.contracts.folders import landing
from infra.local.errors import InstallationError
from infra.local.world import Disturbances, Source, World, microseconds, spans

START = datetime(2013, 4, 1, tzinfo=UTC)
NUM_HOURS = 24 * 60


def feed(folder: Path) -> Path:
    """Two events an hour, `event_time` when they happened."""
    moments = [START + timedelta(minutes=30 * index) for index in range(2 * NUM_HOURS)]
    times = pa.array(moments, pa.timestamp("us", tz="UTC"))
    table = pa.table({"event_time": times, "number": range(len(moments)), "delivered_at": times})
    folder.mkdir()
    pq.write_table(table, folder / "flights.parquet")
    return folder


def delivered(world: World) -> pa.Table:
    return world.sources["flights"].rows


def test_the_same_seed_gives_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    folder = feed(tmp_path / "feed")
    first, again, other = (World.of_feed(folder, Disturbances(), seed) for seed in (1, 1, 2))
    assert delivered(first).equals(delivered(again))
    assert not delivered(first).equals(delivered(other))


def test_some_deliveries_come_late_and_some_twice_and_none_is_lost(tmp_path: Path) -> None:
    rows = delivered(World.of_feed(feed(tmp_path / "feed"), Disturbances(held_back=0.1, twice=0.05), seed=1))
    delay = microseconds(rows, "delivered_at") - microseconds(rows, "event_time")
    numbers = rows["number"].to_pylist()
    assert set(numbers) == set(range(2 * NUM_HOURS))
    assert 0.02 < (len(numbers) - len(set(numbers))) / len(numbers) < 0.1
    assert 0.08 < (delay > 0).mean() < 0.25
    assert delay.max() <= 6 * 3_600_000_000
    assert (delay >= 0).all()


def test_an_undisturbed_world_delivers_the_feed_as_it_is(tmp_path: Path) -> None:
    folder = feed(tmp_path / "feed")
    rows = delivered(World.of_feed(folder, Disturbances(held_back=0, twice=0), seed=1))
    assert rows.equals(pq.read_table(folder / "flights.parquet"))


def test_hourly_files_hold_every_row_once_and_none_from_their_own_hour_on(tmp_path: Path) -> None:
    world = World.of_feed(feed(tmp_path / "feed"), Disturbances(), seed=1)
    end = START + timedelta(days=70)
    num_rows = sum(world.deliver(tmp_path, *span) for span in spans(START, end, timedelta(hours=1)))
    files = sorted(landing(tmp_path, "flights").glob("*"))
    assert sum(pq.read_metadata(path).num_rows for path in files) == num_rows == delivered(world).num_rows
    for path in files[:100]:
        name = datetime.strptime(path.stem, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        times = pq.read_table(path)["delivered_at"].to_pylist()
        assert name - timedelta(hours=1) <= min(times)
        assert max(times) < name
    assert {path.suffix for path in files} == {".parquet"}


def test_a_source_without_rows_in_an_hour_lands_no_file(tmp_path: Path) -> None:
    world = World([Source("flights", pq.read_table(feed(tmp_path / "feed") / "flights.parquet"))])
    assert world.deliver(tmp_path, START - timedelta(hours=2), START) == 0
    assert not landing(tmp_path, "flights").exists()


def without_rows(folder: Path, name: str, like: str = "flights") -> None:
    rows = pq.read_table(folder / f"{like}.parquet").slice(0, 0)
    pq.write_table(rows, folder / f"{name}.parquet")


def test_a_source_without_a_row_delivers_nothing_and_does_not_move_the_beginning(tmp_path: Path) -> None:
    folder = feed(tmp_path / "feed")
    without_rows(folder, "weather")
    world = World.of_feed(folder, Disturbances(), seed=1)
    assert world.begins_at == START
    assert world.deliver(tmp_path, START, START + timedelta(hours=1)) == 2
    assert world.deliver(tmp_path, START, START) == 0
    assert not landing(tmp_path, "weather").exists()


def test_a_feed_without_a_row_is_a_sentence(tmp_path: Path) -> None:
    folder = feed(tmp_path / "feed")
    without_rows(folder, "flights")
    world = World.of_feed(folder, Disturbances(), seed=1)
    assert world.deliver_by_day(tmp_path, START, START + timedelta(days=2)) == 0
    with pytest.raises(InstallationError, match=r"no delivery in the feed's sources \(flights\); write it anew"):
        _ = world.begins_at
