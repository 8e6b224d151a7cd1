"""What is online is what offline says, whatever the order of the deliveries and however often the process dies."""

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.errors import OnlineStoreError
from feature_repo.gold import build
from feature_repo.landing import write_delivery
from feature_repo.materialize import materialize, rows_at
from feature_repo.microbatch import find_changes
from feature_repo.online_store import FencedOutError, Key, OnlineStore, Row, Values
from feature_repo.transforms import grid
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.clock import ReplayClock
from infra.settings import Settings, child_environment
from tests.feature_repo import flown, landed

ROOT = Path(__file__).parents[2]
POINTS = ("origin_traffic_written", "aircraft_written", "watermark_written", "committed")
UNGUARDED = """
import sys
from pathlib import Path
from feature_repo import online_store, __main__ as commands
sql = online_store.sqlite3.Connection.execute
class Torn(online_store.sqlite3.Connection):
    def execute(self, text, *rest):
        return sql(self, "SELECT 1" if text.split()[0] in ("BEGIN", "COMMIT", "ROLLBACK") else text, *rest)
connect = online_store.sqlite3.connect
online_store.sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Torn)
commands.app(["stream", "flight_delay"])
"""


@pytest.fixture
def installed(blizzard: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(blizzard, tmp_path / "data", symlinks=True))


def materialized(root: Path) -> None:
    """The store as gold says it was an hour before the hours that are played."""
    store = OnlineStore(root / "online_store.db", FLIGHT_DELAY)
    materialize(FLIGHT_DELAY, store, lake=landed.lake_of(root), now=flown.START - flown.HOUR + FLIGHT_DELAY.lag)
    store.close()


def test_online_equals_the_replay_of_offline_at_every_instant_with_late_rows(installed: Path) -> None:
    materialized(installed)
    clock = flown.HandClock(flown.START + FLIGHT_DELAY.lag)
    stream = flown.stream(installed, clock)
    gold = landed.gold_of(installed)
    for _ in range(30):
        assert stream.advance()
        watermark, contents = stream.store.contents()
        assert watermark == FLIGHT_DELAY.floor(clock.instant)
        for view in FLIGHT_DELAY.views:
            assert contents[view.name] == rows_at(view, gold, clock.instant), (
                view.name,
                clock.instant,
            )
        clock.instant += flown.HOUR


def test_from_before_the_first_delivery_on_online_equals_offline(tmp_path: Path, year: dict[str, pa.Table]) -> None:
    """Flights begin at 10:15, the weather a day later; before there is no landing folder, then files without a row."""
    landed.set_up(tmp_path)
    days = DataInterval(start=datetime(2012, 12, 31, 6, tzinfo=UTC), end=datetime(2013, 1, 1, 14, tzinfo=UTC))
    clock = flown.HandClock(days.start)
    stream, published = flown.stream(tmp_path, clock), {}
    for instant in grid(days, flown.HOUR):
        for name, rows in year.items():
            if instant >= days.start + 2 * flown.HOUR:
                write_delivery(tmp_path, name, instant, landed.between(rows, instant - flown.HOUR, instant))
        clock.instant = instant + FLIGHT_DELAY.lag
        assert stream.advance()
        watermark, published[instant] = stream.store.contents()
        assert watermark == instant
    for name in year:
        landed.ingest(tmp_path, name, days)
    build(TRANSFORMS, SOURCES, days, lake=landed.lake_of(tmp_path))
    gold = landed.gold_of(tmp_path)
    for instant, contents in published.items():
        for view in FLIGHT_DELAY.views:
            held = rows_at(view, gold, instant + FLIGHT_DELAY.lag)
            assert contents[view.name] == held, (view.name, instant)
    assert not any(published[days.start + 3 * flown.HOUR].values())
    assert all(contents.values())


def test_permuted_and_repeated_deliveries_make_the_same_gold_and_the_same_online_store(
    installed: Path, tmp_path: Path, year: dict[str, pa.Table]
) -> None:
    shuffled = flown.make(tmp_path / "shuffled", year, shuffled_with=7)
    for root in (installed, shuffled):
        flown.play(root, flown.START + 20 * flown.HOUR, 6)
    for view in FLIGHT_DELAY.views:
        moment = flown.END
        assert rows_at(view, landed.gold_of(shuffled), moment) == rows_at(view, landed.gold_of(installed), moment)
    assert flown.dump(shuffled) == flown.dump(installed)


def test_a_second_pass_over_the_same_instants_publishes_nothing(installed: Path) -> None:
    flown.play(installed, flown.START, 3)
    before = flown.dump(installed)
    again = flown.stream(installed, flown.HandClock(flown.START + 2 * flown.HOUR + FLIGHT_DELAY.lag))
    assert not again.advance()
    assert flown.dump(installed) == before


def test_missed_instants_are_made_up_for_in_order(installed: Path, tmp_path: Path) -> None:
    missed = Path(shutil.copytree(installed, tmp_path / "missed", symlinks=True))
    flown.play(installed, flown.START, 5)
    flown.play(missed, flown.START, 2).store.close()
    clock = flown.HandClock(flown.START + 4 * flown.HOUR + FLIGHT_DELAY.lag)
    late = flown.stream(missed, clock)
    assert [late.advance() for _ in range(4)] == [True, True, True, False]
    assert flown.dump(missed) == flown.dump(installed)


def test_a_clock_that_is_far_behind_the_store_is_refused_and_deletes_nothing(installed: Path) -> None:
    playing = flown.play(installed, flown.START, 1)
    held = playing.store.contents()
    behind = flown.stream(installed, flown.HandClock(flown.START - 2 * TRANSFORMS.history))
    with pytest.raises(OnlineStoreError, match="the store lives by another clock; see FLYWHEEL_CLOCK"):
        behind.advance()
    assert playing.store.contents() == held


def test_nothing_is_published_before_the_lag_has_passed(installed: Path) -> None:
    playing = flown.play(installed, flown.START, 1)
    due = flown.START + flown.HOUR
    playing.clock.instant = due + FLIGHT_DELAY.lag - timedelta(microseconds=1)  # type: ignore[attr-defined]
    assert not playing.advance()
    assert playing.prepared is not None
    playing.clock.instant = due + FLIGHT_DELAY.lag  # type: ignore[attr-defined]
    assert playing.advance()


def test_a_row_past_its_time_to_live_is_deleted_even_if_its_values_stay() -> None:
    view = FLIGHT_DELAY.views[0]
    instant = flown.START + 5 * flown.HOUR
    values = tuple(1.0 for _ in view.columns)
    now: dict[str, dict[Key, Values]] = {each.name: {} for each in FLIGHT_DELAY.views}
    now[view.name] = {("JFK",): values, ("LGA",): values}
    old, young = instant + FLIGHT_DELAY.lag - view.ttl, instant + FLIGHT_DELAY.lag - view.ttl + flown.HOUR
    held: dict[str, dict[Key, Row]] = {each.name: {} for each in FLIGHT_DELAY.views}
    held[view.name] = {("JFK",): Row(values, old), ("LGA",): Row(values, young)}
    change = find_changes(TRANSFORMS, instant, held, now)[view.name]
    assert change.deleted == {("JFK",)}
    assert not change.written


def test_a_second_writer_is_fenced_out(installed: Path) -> None:
    playing = flown.play(installed, flown.START, 2)
    other = OnlineStore(installed / "online_store.db", FLIGHT_DELAY)
    _, held = other.contents()
    current = {name: {key: row.values for key, row in rows.items()} for name, rows in held.items()}
    changes = find_changes(TRANSFORMS, flown.START, held, current)
    with pytest.raises(FencedOutError, match="another writer"):
        other.publish(flown.START + flown.HOUR, other.encode(changes), after=flown.START)
    assert playing.store.watermark() == flown.START + flown.HOUR


def die_in_the_micro_batch(root: Path, point: str, *, script: str = "") -> int:
    ReplayClock(root / "clock").advance(flown.START + 2 * flown.HOUR + FLIGHT_DELAY.lag)
    settings = Settings(data_dir=root, clock=f"file:{root / 'clock'}")
    environment = child_environment(settings, {"FLYWHEEL_CHAOS": point})
    command = (
        [sys.executable, "-c", script] if script else [sys.executable, "-m", "feature_repo", "stream", "flight_delay"]
    )
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_publishing_it_loses_and_repeats_nothing(installed: Path, tmp_path: Path, point: str) -> None:
    flown.play(installed, flown.START, 2).store.close()
    before = flown.dump(installed)
    clean = Path(shutil.copytree(installed, tmp_path / "clean", symlinks=True))
    flown.play(clean, flown.START + 2 * flown.HOUR, 1).store.close()

    assert die_in_the_micro_batch(installed, point) == -signal.SIGKILL
    assert flown.dump(installed) == (flown.dump(clean) if point == "committed" else before)
    flown.play(installed, flown.START + 2 * flown.HOUR, 0).advance()
    assert flown.dump(installed) == flown.dump(clean)


def test_without_the_transaction_a_kill_leaves_half_an_instant(installed: Path) -> None:
    flown.play(installed, flown.START, 2).store.close()
    before = flown.dump(installed)
    assert die_in_the_micro_batch(installed, "origin_traffic_written", script=UNGUARDED) == -signal.SIGKILL
    assert flown.dump(installed) != before
