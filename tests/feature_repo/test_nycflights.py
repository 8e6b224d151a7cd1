from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo import nycflights
from feature_repo.errors import PackageDataError
from feature_repo.use_cases.flight_delay import FLIGHTS, WEATHER

Ask = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Ask the table of flights in UTC, and the package's own rows as `raw_flights`."""
    connection = nycflights.open_package()
    nycflights.flights_in_utc(connection)
    return lambda query: connection.sql(query).fetchall()


def test_every_flight_has_its_schedule_in_utc(ask: Ask) -> None:
    counts = ask("SELECT count(*), count(scheduled_departure), count(scheduled_arrival) FROM flights")
    assert counts == [(336_776, 336_776, 336_776)]


def test_departures_agree_with_the_hour_in_utc_that_the_package_states(ask: Ask) -> None:
    mine = "SELECT date_trunc('hour', scheduled_departure) AS hour, count(*) FROM flights GROUP BY ALL"
    theirs = "SELECT CAST(time_hour AS TIMESTAMPTZ) AS hour, count(*) FROM raw_flights GROUP BY ALL"
    assert ask(f"({mine} EXCEPT {theirs}) UNION ALL ({theirs} EXCEPT {mine})") == []


def test_flying_and_taxiing_take_as_long_as_the_clocks_say(ask: Ask) -> None:
    """A wrong zone, a wrong day or a missed DST change would be off by an hour at least; taxiing takes 5 to 240 min."""
    ground = "date_diff('minute', departure, arrival) - air_time"
    assert ask(f"SELECT count(*) FROM flights WHERE {ground} NOT BETWEEN 5 AND 240") == [(0,)]
    assert ask(f"SELECT median({ground}) FROM flights") == [(28.0,)]


def test_a_wrong_time_zone_would_be_seen_by_the_time_spent_on_the_ground(ask: Ask) -> None:
    """The control of the test above: San Juan taken for a place on New York's clock, in winter an hour behind it."""
    ground = "date_diff('minute', departure, arrival + INTERVAL 1 HOUR) - air_time"
    in_winter = "destination = 'SJU' AND month(scheduled_departure) IN (1, 2, 12)"
    assert ask(f"SELECT median({ground}) > 80 FROM flights WHERE {in_winter}") == [(True,)]


def test_planned_times_lie_between_50_minutes_and_12_hours(ask: Ask) -> None:
    block = "date_diff('minute', scheduled_departure, scheduled_arrival)"
    assert ask(f"SELECT min({block}), max({block}) < 720 FROM flights") == [(50, True)]


def test_outcomes_add_up(ask: Ask) -> None:
    outcomes = ask("SELECT outcome, count(*) FROM flights GROUP BY outcome ORDER BY outcome")
    assert outcomes == [("arrived", 327_346), ("cancelled", 8_255), ("diverted", 1_175)]


@pytest.mark.parametrize(
    ("day", "offset_hours"),
    [("2013-03-09", 5), ("2013-03-10", 4), ("2013-11-02", 4), ("2013-11-03", 5)],
    ids=["before spring", "after spring", "before autumn", "after autumn"],
)
def test_both_changes_of_the_clocks_are_kept(ask: Ask, day: str, offset_hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    assert noon.hour == 12 + offset_hours
    _, month, date = day.split("-")
    local = f"SELECT count(*) FROM raw_flights WHERE month = {month} AND day = {date} AND sched_dep_time = 1200"
    assert ask(local) != [(0,)]
    assert ask(f"SELECT count(*) FROM flights WHERE scheduled_departure = '{noon.isoformat()}'") == ask(local)


def test_events_are_sorted_and_as_the_source_declares_them(year: dict[str, pa.Table]) -> None:
    for source in (FLIGHTS, WEATHER):
        rows = year[source.name]
        assert rows.select(source.columns).schema.equals(source.schema)
        times = rows["delivered_at"].combine_chunks()
        assert pc.all(pc.less_equal(times[:-1], times[1:])).as_py()


def test_a_flight_is_scheduled_departs_and_arrives_each_at_its_time(year: dict[str, pa.Table]) -> None:
    flights = year["flights"]
    counts = duckdb.sql("SELECT event, count(*) FROM flights GROUP BY event ORDER BY event").fetchall()
    assert flights.num_rows == 1_002_073
    assert counts == [
        ("arrived", 327_346),
        ("cancelled", 8_255),
        ("departed", 328_521),
        ("diverted", 1_175),
        ("scheduled", 336_776),
    ]
    wrong = duckdb.sql(
        "SELECT count(*) FROM flights WHERE delivered_at <> event_time "
        "OR (event = 'scheduled' AND event_time <> scheduled_departure - INTERVAL 24 HOURS) "
        "OR (event IN ('departed', 'arrived') AND event_time <> actual_time)"
    )
    assert wrong.fetchall() == [(0,)]


def test_a_changed_file_of_the_package_is_refused(tmp_path: Path) -> None:
    folder = copytree(nycflights.package_folder(), tmp_path / "data")
    (folder / "airlines.csv").write_text("carrier,name\nXX,Another\n")
    with pytest.raises(PackageDataError, match=r"airlines\.csv has SHA-256 .*, expected 162551bd.*; reinstall"):
        nycflights.references(folder)
