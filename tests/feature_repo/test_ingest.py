"""Repeats, late rows, kills and poisoned batches, each with a control in which the defence is off."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from sqlalchemy import select

from feature_repo.chaos import no_chaos
from feature_repo.contracts import folders
from feature_repo.contracts.base import DataInterval
from feature_repo.errors import DeliveryError, FeatureRepoError, IntervalRefusedError
from feature_repo.expectations import Severity, complete
from feature_repo.ingest import ingest as ingest_interval
from feature_repo.landing import write_delivery
from feature_repo.rules_sql import verdicts
from feature_repo.silver import rows_of_keys
from feature_repo.sources import Source, columns
from feature_repo.use_cases.flight_delay import FLIGHTS
from infra.database import LockBusyError, reading, schema
from infra.lake import SILVER, days_between, source_group
from tests.feature_repo import landed
from tests.feature_repo.landed import (
    OWNER,
    START,
    TWO_DAYS,
    between,
    database_of,
    ingest,
    land,
    put,
    set_up,
    shift,
    tables_of,
)

DAY = timedelta(days=1)
FIRST_DAY = DataInterval(start=START, end=START + DAY)
SECOND_DAY = DataInterval(start=START + DAY, end=START + 2 * DAY)
LATER = DataInterval(start=TWO_DAYS.end, end=TWO_DAYS.end + DAY)
POINTS = ("begun", "validated", "bronze_committed", "silver_committed", "quarantine_committed", "written", "named")


def quality(data_dir: Path) -> list[tuple[object, ...]]:
    columns = schema.quality.c
    query = select(
        *(columns.num_rows, columns.num_quarantined, columns.num_warned, columns.score, columns.failed, columns.details)
    )
    with reading(database_of(data_dir)) as connection:
        return [tuple(row) for row in connection.execute(query.order_by(columns.interval_start))]


def fresh(data_dir: Path, rows: pa.Table, every: timedelta = timedelta(hours=6)) -> Path:
    """An installation with the rows on its landing folder."""
    set_up(data_dir)
    land(data_dir, "flights", rows, every)
    return data_dir


# What an interval becomes


def test_bronze_is_what_was_delivered_and_silver_is_what_is_clean(
    installation: Path, two_days: dict[str, pa.Table]
) -> None:
    report = ingest(installation)
    delivered = two_days["flights"].select(FLIGHTS.columns)
    assert landed.bronze(installation).num_rows == delivered.num_rows
    order = [(name, "ascending") for name in ("delivered_at", *FLIGHTS.key)]
    assert landed.silver(installation).equals(delivered.sort_by(order))
    assert (report.num_rows, report.num_quarantined, report.score) == (delivered.num_rows, 0, 1.0)


def test_unknown_airports_and_aircraft_are_counted_and_kept(installation: Path) -> None:
    report = ingest(installation)
    rows = landed.silver(installation)
    unlisted = pc.is_in(rows["destination"], pa.array(["BQN", "PSE", "SJU", "STT"]))
    assert report.rows_by_rule["referential:destination"] == pc.sum(unlisted).as_py() > 0
    assert report.rows_by_rule["referential:tail_number"] > 100
    assert report.num_clean == report.num_rows


def test_a_bad_row_is_quarantined_with_rule_reason_and_value(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    fresh(tmp_path, put(two_days["flights"], "origin", ["NEWARK", None]))
    report = ingest(tmp_path)
    bad = landed.quarantine(tmp_path).sort_by("rule").to_pylist()
    assert [(row["rule"], row["value"]) for row in bad] == [
        ("completeness:origin", "origin = absent"),
        ("format:origin", "origin = NEWARK"),
    ]
    assert [row["reason"] for row in bad] == ["names no flight", "not such a code"]
    assert all(row["delivery"].endswith("Z.parquet") for row in bad)
    assert (report.num_quarantined, report.num_clean) == (2, report.num_rows - 2)


def test_the_real_wind_of_1048_miles_per_hour_is_quarantined(tmp_path: Path, year: dict[str, pa.Table]) -> None:
    set_up(tmp_path)
    interval = DataInterval(
        start=datetime.fromisoformat("2013-02-12T00:00Z"), end=datetime.fromisoformat("2013-02-13T00:00Z")
    )
    write_delivery(tmp_path, "weather", interval.end, between(year["weather"], interval.start, interval.end))
    ingest(tmp_path, "weather", interval)
    (bad,) = landed.quarantine(tmp_path, "weather").to_pylist()
    assert (bad["rule"], bad["value"]) == ("range:wind_speed", "wind_speed = 1048.36058")


def test_the_quality_of_an_interval_is_kept_and_replaced_by_a_rerun(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = put(two_days["flights"], "origin", [None] * 7)
    fresh(tmp_path, rows)
    ingest(tmp_path)
    ingest(tmp_path)
    ((num_rows, quarantined, warned, score, failed, details),) = quality(tmp_path)
    assert (num_rows, quarantined, failed) == (rows.num_rows, 7, 0)
    assert score == pytest.approx(1 - 7 / rows.num_rows)
    assert warned
    assert json.loads(str(details))["rows_by_rule"]["completeness:origin"] == 7


# The same bytes for the same deliveries


def test_a_rerun_gives_the_same_bytes(installation: Path) -> None:
    ingest(installation)
    before = tables_of(installation)
    ingest(installation)
    assert tables_of(installation) == before


def test_days_ingested_apart_give_the_bytes_of_days_ingested_together(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    together, apart = fresh(tmp_path / "a", two_days["flights"]), fresh(tmp_path / "b", two_days["flights"])
    ingest(together)
    for start in range(0, 48, 16):  # 16 h: an interval that ends in the middle of a day
        part = DataInterval(start=START + timedelta(hours=start), end=START + timedelta(hours=start + 16))
        ingest(apart, interval=part)
    assert tables_of(apart) == tables_of(together)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_events_out_of_order_give_the_same_silver(tmp_path: Path, two_days: dict[str, pa.Table], seed: int) -> None:
    rows = two_days["flights"]
    order = random.Random(seed).sample(range(rows.num_rows), rows.num_rows)
    ordered, shuffled = fresh(tmp_path / "a", rows), fresh(tmp_path / "b", rows.take(order), timedelta(hours=3))
    ingest(ordered)
    ingest(shuffled)
    assert landed.silver(shuffled) == landed.silver(ordered)


def test_a_day_delivered_twice_at_once_is_there_once(installation: Path, two_days: dict[str, pa.Table]) -> None:
    ingest(installation)
    before = landed.silver(installation)
    write_delivery(installation, "flights", LATER.end, two_days["flights"])  # a replayed file: the same rows and times
    report = ingest(installation)
    assert landed.silver(installation) == before
    assert report.num_repeats == two_days["flights"].num_rows
    assert landed.bronze(installation).num_rows == 2 * two_days["flights"].num_rows


def test_a_day_delivered_again_later_changes_nothing(
    tmp_path: Path, two_days: dict[str, pa.Table], year: dict[str, pa.Table]
) -> None:
    rows, next_day = two_days["flights"], between(year["flights"], LATER.start, LATER.end)
    once, twice = fresh(tmp_path / "a", rows), fresh(tmp_path / "b", rows)
    again = shift(rows.slice(0, 500), "delivered_at", 2 * DAY)
    write_delivery(once, "flights", LATER.end, next_day)
    write_delivery(twice, "flights", LATER.end, pa.concat_tables([next_day, again]))
    for data_dir in (once, twice):
        ingest(data_dir)
    ingest(once, interval=LATER)
    report = ingest(twice, interval=LATER)
    assert report.num_repeats == 500
    assert landed.silver(twice) == landed.silver(once)


def test_a_row_delivered_again_weeks_later_is_found_in_silver_of_its_own_time_and_in_no_other_file(
    installation: Path, two_days: dict[str, pa.Table], year: dict[str, pa.Table]
) -> None:
    rows, much_later = two_days["flights"], LATER.start + 40 * DAY
    interval = DataInterval(start=much_later, end=much_later + DAY)
    late = shift(rows.slice(0, 50), "delivered_at", 42 * DAY)
    other = put(shift(rows.slice(50, 1), "delivered_at", 42 * DAY), "destination", ["ZZZ"])
    meanwhile = DataInterval(start=START + 20 * DAY, end=START + 21 * DAY)
    write_delivery(installation, "flights", meanwhile.end, between(year["flights"], meanwhile.start, meanwhile.end))
    for each in (TWO_DAYS, meanwhile):
        ingest(installation, interval=each)
    write_delivery(installation, "flights", interval.end, pa.concat_tables([late, other]))

    report = ingest(installation, replace(FLIGHTS, max_quarantined_share=1.0), interval)

    assert (report.num_repeats, report.num_quarantined, report.num_clean) == (50, 1, 0)
    connection = duckdb.connect()
    connection.register("wanted", late)
    held = landed.snapshot(installation, source_group("flights"))
    newest_from = (much_later - FLIGHTS.keys_kept).date()
    found = rows_of_keys(connection, FLIGHTS, held, "wanted", newest_from=newest_from)
    assert found is not None
    assert connection.sql(f"SELECT count(*) FROM {found}").fetchall() == [(50,)]
    opened = [path for path in held.files(SILVER) if str(path) in found]
    assert opened == held.files(SILVER, days_between(TWO_DAYS.start, FIRST_DAY.end))


def test_another_column_may_say_the_time_that_a_row_is_about(installation: Path, two_days: dict[str, pa.Table]) -> None:
    """Silver's files of before do not say between which of its values their rows lie: any may hold a repeat."""
    ingest(installation)
    other = replace(FLIGHTS, time="event_time")
    much_later = START + 42 * DAY
    interval = DataInterval(start=much_later, end=much_later + DAY)
    again = shift(two_days["flights"].slice(0, 50), "delivered_at", 42 * DAY)
    write_delivery(installation, "flights", interval.end, again)
    for _ in range(2):
        assert ingest(installation, other, interval).num_repeats == 50


def test_without_its_key_a_source_would_keep_the_repeats(installation: Path, two_days: dict[str, pa.Table]) -> None:
    """The control: a key that takes in when a row was delivered sees no repeat in the same row delivered later."""
    always = complete(Severity.FAIL, "stamped on arrival", "delivered_at")
    blind = replace(FLIGHTS, key=(*FLIGHTS.key, "delivered_at"), expectations=(*FLIGHTS.expectations, *always))
    again = shift(two_days["flights"].slice(0, 500), "delivered_at", 2 * DAY)
    write_delivery(installation, "flights", LATER.end, again)
    ingest(installation, blind)
    assert ingest(installation, blind, LATER).num_repeats == 0
    assert landed.silver(installation).num_rows == two_days["flights"].num_rows + 500


def test_rows_two_days_late_are_kept_with_the_day_they_came_and_warned_about(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = two_days["flights"]
    late = shift(rows.slice(0, 300), "delivered_at", 2 * DAY)
    fresh(tmp_path, rows.slice(300))
    write_delivery(tmp_path, "flights", LATER.end, late)
    ingest(tmp_path)
    report = ingest(tmp_path, interval=LATER)
    assert (report.num_clean, report.rows_by_rule["freshness:event_time"]) == (300, 300)
    with landed.lake_of(tmp_path).open(source_group("flights")) as snapshot:
        assert [day.isoformat() for day in snapshot.days(SILVER)] == ["2013-02-08", "2013-02-09", "2013-02-10"]


def test_another_value_for_a_key_is_quarantined_and_the_first_stays(
    installation: Path, two_days: dict[str, pa.Table]
) -> None:
    ingest(installation)
    before = landed.silver(installation)
    rows = two_days["flights"]
    other = put(rows.slice(0, 1), "destination", ["ZZZ"])
    write_delivery(
        installation, "flights", LATER.end, shift(pa.concat_tables([rows.slice(1, 99), other]), "delivered_at", 2 * DAY)
    )
    ingest(installation, interval=LATER)
    (bad,) = landed.quarantine(installation).to_pylist()
    first = rows["destination"][0].as_py()
    assert (bad["rule"], bad["value"]) == ("unique:key", f"destination = ZZZ, first {first}")
    assert landed.silver(installation) == before


def test_a_corrected_row_is_taken_where_the_first_was_quarantined(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = two_days["flights"]
    fresh(tmp_path, put(rows, "destination", ["zzz"]))
    corrected = shift(rows.slice(0, 1), "delivered_at", 2 * DAY)
    write_delivery(tmp_path, "flights", LATER.end, corrected)
    ingest(tmp_path)
    report = ingest(tmp_path, interval=LATER)
    assert (report.num_clean, report.num_quarantined) == (1, 0)
    assert landed.silver(tmp_path).num_rows == rows.num_rows


def test_a_source_that_fell_silent_is_warned_about(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    rows = between(two_days["flights"], FIRST_DAY.start, FIRST_DAY.start + timedelta(hours=30))
    report = ingest(fresh(tmp_path, rows))
    (warning,) = report.warnings
    assert "before the interval's end (at most 12:00:00 is usual): is it running?" in warning
    assert json.loads(str(quality(tmp_path)[0][5]))["warnings"] == [warning]


def test_a_backfill_of_an_earlier_interval_names_the_later_ones_to_ingest_again(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = two_days["flights"]
    in_order, backfilled = fresh(tmp_path / "a", rows), fresh(tmp_path / "b", rows)
    for data_dir in (in_order, backfilled):
        write_delivery(data_dir, "flights", LATER.end, shift(rows.slice(0, 500), "delivered_at", 2 * DAY))
    ingest(in_order)
    ingest(in_order, interval=LATER)
    ingest(backfilled, interval=LATER)
    (warning,) = ingest(backfilled).warnings
    assert warning.startswith("500 later rows repeat these: ingest the intervals from 2013-02-10 00:0")
    ingest(backfilled, interval=LATER)
    assert tables_of(backfilled) == tables_of(in_order)


# Killed, and beside another


def ingest_command(data_dir: Path, chaos: str) -> list[str]:
    """The ingest in a process of its own, with the engine that takes no seconds to import."""
    program = f"""
from pathlib import Path
from feature_repo.chaos import die_at
from feature_repo.ingest import ingest
from feature_repo.rules_sql import verdicts
from tests.feature_repo.landed import SOURCES, TWO_DAYS, lake_of
root = Path({str(data_dir)!r})
ingest("flight_delay", SOURCES["flights"], TWO_DAYS, lake=lake_of(root), engine=verdicts, chaos=die_at({chaos!r}))
"""
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_the_lake_is_as_before_or_as_after_and_a_rerun_ends_it(
    point: str, tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = put(two_days["flights"], "origin", ["bad"] * 5)
    clean, killed = fresh(tmp_path / "clean", rows), fresh(tmp_path / "killed", rows)
    ingest(clean)
    ingest(killed, interval=FIRST_DAY)
    before, after = tables_of(killed), tables_of(clean)

    ended = subprocess.run(ingest_command(killed, point), check=False, capture_output=True)

    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert tables_of(killed) == (after if point == "named" else before)
    assert len(quality(killed)) == (2 if point == "named" else 1), "rows and their quality become visible together"
    ingest(killed)
    assert tables_of(killed) == after
    assert [row[4] for row in quality(killed)] == [0, 0]


def test_what_a_killed_ingest_had_committed_is_there_for_who_opens_the_newest_version(
    tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    """The control of the test above: read without the named versions, half an interval would have been there."""
    killed = fresh(tmp_path / "killed", two_days["flights"])
    subprocess.run(ingest_command(killed, "silver_committed"), check=False, capture_output=True)
    assert DeltaTable(landed.lake_of(killed).newest(source_group("flights")).folder / SILVER).count()
    assert landed.silver(killed).num_rows == 0


def test_two_ingests_of_one_interval_at_once_give_one_result(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    alone, both = fresh(tmp_path / "alone", two_days["flights"]), fresh(tmp_path / "both", two_days["flights"])
    ingest(alone)
    command = ingest_command(both, "")
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 4, ended
    assert tables_of(both) == tables_of(alone)


def test_the_loser_changes_nothing_and_is_not_recorded_as_a_bad_interval(installation: Path) -> None:
    def ingest_beside(point: str) -> None:
        if point == "validated":
            with pytest.raises(LockBusyError, match=r"sources/flights: process \d+ holds it"):
                ingest_flights(chaos=no_chaos, wait=timedelta(0))

    lake = landed.lake_of(installation)
    ingest_flights = partial(ingest_interval, "flight_delay", FLIGHTS, TWO_DAYS, lake=lake, engine=verdicts)
    ingest_flights(chaos=ingest_beside)
    assert [row[4] for row in quality(installation)] == [0]


# Poisoned batches


def delays(rows: pa.Table, change: Callable[[float], float]) -> pa.Table:
    values = [None if value is None else change(value) for value in rows["delay_minutes"].to_pylist()]
    return put(rows, "delay_minutes", values)


def with_nulls(rows: pa.Table) -> pa.Table:
    return put(rows, "scheduled_arrival", [None] * (rows.num_rows // 5))


def minutes_as_hours(rows: pa.Table) -> pa.Table:
    return delays(rows, lambda minutes: minutes / 60)


def outliers(rows: pa.Table) -> pa.Table:
    return delays(rows, lambda minutes: minutes * 1000)


def labels_flipped(rows: pa.Table) -> pa.Table:
    return delays(rows, lambda minutes: 0.0 if minutes >= 15 else 60.0)


def other_values_for_known_keys(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, put(rows, "destination", ["ZZZ"] * rows.num_rows)])


def another_time_zone(rows: pa.Table) -> pa.Table:
    return shift(rows, "actual_time", timedelta(hours=5))


POISONS: dict[Callable[[pa.Table], pa.Table], str] = {
    with_nulls: r"20\.0%, at most 2\.0% may be\), .* by completeness:scheduled_arrival: .* scheduled_arrival = absent",
    minutes_as_hours: r"by temporal:delay_minutes.*: not the time against schedule: another unit",
    outliers: r"by (range|temporal):delay_minutes",
    labels_flipped: r"by temporal:delay_minutes",
    other_values_for_known_keys: r"by unique:key: another value for a key .* destination = ZZZ, first",
    another_time_zone: r"by temporal:delay_minutes.* a wrong clock or a wrong time zone",
}


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_a_poisoned_interval_is_refused_and_the_lake_unchanged(
    poison: Callable[[pa.Table], pa.Table], tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    rows = two_days["flights"]
    fresh(tmp_path, between(rows, FIRST_DAY.start, FIRST_DAY.end))
    ingest(tmp_path, interval=FIRST_DAY)
    before = tables_of(tmp_path)
    write_delivery(tmp_path, "flights", SECOND_DAY.end, poison(between(rows, SECOND_DAY.start, SECOND_DAY.end)))

    with pytest.raises(IntervalRefusedError, match=POISONS[poison]):
        ingest(tmp_path, interval=SECOND_DAY)

    assert tables_of(tmp_path) == before
    failed, details = quality(tmp_path)[1][4:]
    assert failed == 1
    assert "The lake is unchanged. Have the source deliver the interval again" in json.loads(str(details))["reason"]


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_without_expectations_and_key_the_same_poison_reaches_silver(
    poison: Callable[[pa.Table], pa.Table], tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    """The control of the test above."""
    key = (*FLIGHTS.key, "destination")
    required = complete(Severity.FAIL, "names no flight", " ".join(key))
    rows = poison(two_days["flights"])
    fresh(tmp_path, rows, timedelta(days=2))
    ingest(tmp_path, replace(FLIGHTS, key=key, expectations=required))
    assert landed.silver(tmp_path).num_rows == rows.num_rows


def test_an_empty_interval_fails_and_says_what_to_do(installation: Path) -> None:
    ingest(installation)
    before = tables_of(installation)
    sentence = r"flights delivered nothing in \[2013-02-10.*2013-02-11.*\); expected at least one row: see whether"
    with pytest.raises(IntervalRefusedError, match=sentence):
        ingest(installation, interval=LATER)
    assert tables_of(installation) == before


@pytest.mark.parametrize("typeless", [False, True])
def test_a_delivery_without_rows_is_an_interval_without_rows(installation: Path, typeless: bool) -> None:
    types = dict.fromkeys(FLIGHTS.columns, pa.null()) if typeless else {}
    nothing = pa.schema([(name, types.get(name, FLIGHTS.schema.field(name).type)) for name in FLIGHTS.columns])
    ingest(installation)
    before = tables_of(installation)
    write_delivery(installation, "flights", LATER.end, nothing.empty_table())
    with pytest.raises(IntervalRefusedError, match="flights delivered nothing in"):
        ingest(installation, interval=LATER)
    ingest(installation, interval=DataInterval(start=START, end=LATER.end))
    assert tables_of(installation) == before


@pytest.mark.parametrize("number", [1, 3])
def test_an_interval_of_which_no_row_is_clean_leaves_silver_without_a_file(tmp_path: Path, number: int) -> None:
    fresh(tmp_path, pa.Table.from_pylist([{"delivered_at": START}] * number, schema=FLIGHTS.schema))
    tolerant = replace(FLIGHTS, max_quarantined_share=1.0)
    report = ingest(tmp_path, tolerant)
    assert (report.num_rows, report.num_clean, report.num_quarantined, report.score) == (number, 0, number, 0.0)
    assert landed.silver(tmp_path).num_rows == 0
    assert ingest(tmp_path, tolerant) == report


def test_a_source_of_which_every_column_is_key_has_repeats_and_no_differences(tmp_path: Path) -> None:
    required = complete(Severity.FAIL, "names nothing", "day place")
    source = Source(
        name="flights",
        types=columns(string="place", timestamp="day"),
        key=("day", "place"),
        time="day",
        expectations=required,
    )
    fresh(
        tmp_path, pa.Table.from_pylist([{"day": START, "place": "", "delivered_at": START}] * 2, schema=source.schema)
    )
    report = ingest(tmp_path, source)
    assert (report.num_clean, report.num_repeats, report.num_quarantined) == (1, 1, 0)


def test_a_value_that_is_empty_is_not_shown_as_absent(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    fresh(tmp_path, put(two_days["flights"], "origin", [""]))
    ingest(tmp_path)
    (bad,) = landed.quarantine(tmp_path).to_pylist()
    assert (bad["rule"], bad["value"]) == ("format:origin", 'origin = ""')


def test_a_corrupt_file_fails_the_interval_and_the_lake_is_unchanged(installation: Path) -> None:
    ingest(installation, interval=FIRST_DAY)
    before = tables_of(installation)
    newest = max(folders.landing(installation, "flights").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(DeliveryError, match=rf"{newest.name} cannot be read"):
        ingest(installation, interval=SECOND_DAY)
    assert tables_of(installation) == before
    assert [row[4] for row in quality(installation)] == [0, 1]


def test_a_missing_reference_table_is_named_with_what_to_run(installation: Path) -> None:
    folders.reference(installation, OWNER, "planes").unlink()
    with pytest.raises(
        FeatureRepoError, match=r"no reference table .*planes\.parquet; run `python -m feature_repo reference"
    ):
        ingest(installation)


@pytest.mark.parametrize(
    ("columns_of", "says"),
    [
        (lambda table: {name: pa.nulls(0) for name in table.column_names}, "has no type"),
        (lambda table: {"code": table["airport"]}, "is not there"),
    ],
    ids=["typeless", "renamed"],
)
def test_a_reference_table_without_what_a_rule_compares_with_is_named(
    installation: Path, columns_of: Callable[[pa.Table], dict[str, pa.Array]], says: str
) -> None:
    path = folders.reference(installation, OWNER, "airports")
    pq.write_table(pa.table(columns_of(pq.read_table(path))), path)
    with pytest.raises(
        FeatureRepoError, match=rf"referential:\w+ compares with column airport of .*, which {says}; decl"
    ):
        ingest(installation)


def test_an_empty_reference_table_has_nothing_listed(installation: Path) -> None:
    path = folders.reference(installation, OWNER, "airports")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    report = ingest(installation)
    assert report.rows_by_rule["referential:origin"] == report.num_rows == report.num_clean
