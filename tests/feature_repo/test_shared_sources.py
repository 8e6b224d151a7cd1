"""A use case that reads another's source builds nothing of it before the owner has ingested it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo import nycflights, quality
from feature_repo.contracts.base import Column, ColumnType, DataInterval, FeatureViewContract, SharedSource, UseCase
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.errors import NothingToDoError, NotIngestedError, ReferenceMissingError
from feature_repo.gold import build
from feature_repo.materialize import newest_instant
from feature_repo.microbatch import MicroBatch
from feature_repo.shared_sources import due_interval, holes, require_ingested
from feature_repo.transforms import Transforms
from feature_repo.use_cases.flight_delay import WEATHER
from feature_repo.validation import Report
from infra.database import writing
from tests.feature_repo import landed
from tests.feature_repo.landed import OWNER, START, ingest

DAY = timedelta(days=1)
RAIN = replace(
    FLIGHT_DELAY,
    name="rain_ahead",
    feature_service="rain_ahead_v1",
    port_offset=1,
    sources=(),
    reads=(SharedSource(name="weather", owner=OWNER),),
    views=(
        FeatureViewContract(
            name="airport_rain",
            join_keys=("airport",),
            columns=(Column(name="newest_hour", type=ColumnType.FLOAT32),),
            ttl=2 * DAY,
        ),
    ),
)
TRANSFORMS = Transforms(
    contract=RAIN,
    history=DAY,
    texts={
        "airport_rain": "SELECT instant, origin AS airport, epoch(max(observed_at)) // 3600 AS newest_hour "
        "FROM instants JOIN weather ON known_from <= instant GROUP BY instant, origin",
        "population": "SELECT origin AS airport, delivered_at AS prediction_time FROM weather",
        "labels": "SELECT origin AS airport, 1 AS label, 'seen' AS outcome, delivered_at AS known_at FROM weather",
    },
)
GOOD = Report(num_rows=1, num_clean=1, num_quarantined=0, num_repeats=0, num_warned=0, rows_by_rule={})


def days(first: float, last: float) -> DataInterval:
    return DataInterval(start=START + first * DAY, end=START + last * DAY)


def note(database: str, *intervals: DataInterval, owner: str = OWNER, source: str = "weather") -> None:
    with writing(database) as connection:
        for interval in intervals:
            quality.record(connection, owner, source, interval, GOOD)


def test_what_adjoins_is_joined_and_what_was_refused_is_left_out(database: str) -> None:
    note(database, days(2, 3), days(0, 1), days(0.5, 2), days(4, 5))
    note(database, days(3, 4), owner="rain_ahead")
    note(database, days(3, 4), source="flights")
    quality.record_failure(database, OWNER, "weather", days(3, 4), "too many bad rows")

    assert quality.ingested(database, OWNER, "weather") == [days(0, 3), days(4, 5)]


@pytest.mark.parametrize("interval", [days(0, 3), days(1, 2), days(4, 5)], ids=str)
def test_what_the_owner_has_ingested_can_be_built(database: str, interval: DataInterval) -> None:
    note(database, days(0, 1), days(1, 3), days(4, 5))
    require_ingested(RAIN, interval, database=database)


@pytest.mark.parametrize("interval", [days(2, 5), days(3, 4), days(4, 6), days(-1, 1)], ids=str)
def test_what_the_owner_has_not_ingested_is_refused_with_whose_turn_it_is(
    database: str, interval: DataInterval
) -> None:
    note(database, days(0, 3), days(4, 5))
    with pytest.raises(NotIngestedError) as refused:
        require_ingested(RAIN, interval, database=database)
    assert f"rain_ahead reads weather, which flight_delay has not ingested for all of {interval}" in str(refused.value)
    assert f"the newest that it has is {days(4, 5)}" in str(refused.value)
    assert "`python -m feature_repo ingest flight_delay weather`" in str(refused.value)


def test_before_the_first_ingest_that_is_said(database: str) -> None:
    with pytest.raises(NotIngestedError, match="it has nothing yet"):
        require_ingested(RAIN, days(0, 1), database=database)


def test_own_sources_are_nobody_elses_to_wait_for(database: str) -> None:
    require_ingested(FLIGHT_DELAY, days(0, 1), database=database)


def test_the_quality_of_a_source_is_shown_to_who_reads_it_and_that_of_no_other(database: str) -> None:
    note(database, days(0, 1), days(1, 2))
    note(database, days(0, 1), source="flights")
    note(database, days(0, 1), owner="churn")

    def shown(contract: UseCase) -> list[str]:
        return [line.split()[0] for line in quality.lines_of(database, contract)[1:]]

    assert shown(RAIN) == ["weather", "weather"]
    assert shown(FLIGHT_DELAY) == ["flights", "weather", "weather"]


def due(contract: UseCase, data_dir: Path) -> DataInterval:
    return due_interval(contract, landed.lake_of(data_dir))


def test_of_an_empty_gold_all_is_due_that_every_source_has(tmp_path: Path) -> None:
    landed.set_up(tmp_path)
    database = landed.database_of(tmp_path)
    both = replace(RAIN, sources=("radar",))
    note(database, DataInterval(start=START + timedelta(minutes=20), end=START + timedelta(minutes=250)))
    with pytest.raises(NothingToDoError) as refused:
        due(both, tmp_path)
    assert str(refused.value) == (
        "rain_ahead: nothing was ingested of radar; run `python -m feature_repo ingest` for it, then this again"
    )
    note(database, days(0, 1), owner="rain_ahead", source="radar")

    hours = DataInterval(start=START + timedelta(hours=1), end=START + timedelta(hours=4))
    assert due(both, tmp_path) == hours
    assert due(RAIN, tmp_path) == hours


def test_after_the_owners_next_ingest_the_rest_is_due_and_then_nothing(installation: Path) -> None:
    """On the real weather, which changes by the hour: the owner ingests a day, then another."""
    first, second = days(0, 1), days(1, 2)
    ingest(installation, "weather", first)
    assert due(RAIN, installation) == first
    build(TRANSFORMS, (WEATHER,), first, lake=landed.lake_of(installation))
    assert newest_instant(RAIN, landed.gold_of(installation, RAIN.name)) == first.end - RAIN.step
    with pytest.raises(NothingToDoError) as refused:
        due(RAIN, installation)
    assert str(refused.value) == (
        f"rain_ahead: gold is built until {first.end.isoformat()}, and weather: not ingested from then on; what was "
        "ingested anew before then is built by `python -m feature_repo build rain_ahead --start ... --end ...`"
    )

    ingest(installation, "weather", second)

    assert due(RAIN, installation) == second


def test_a_hole_in_what_was_ingested_is_named_where_it_keeps_the_rest_from_being_built(installation: Path) -> None:
    first = days(0, 1)
    ingest(installation, "weather", first)
    build(TRANSFORMS, (WEATHER,), first, lake=landed.lake_of(installation))
    note(landed.database_of(installation), days(3, 4))
    with pytest.raises(NothingToDoError) as refused:
        due(RAIN, installation)
    assert f"weather: not ingested in {days(1, 3)}, though after it; " in str(refused.value)


def test_the_holes_of_an_interval_are_what_was_not_ingested_of_each_source(database: str) -> None:
    both = replace(RAIN, sources=("radar",))
    note(database, days(0, 1), days(2, 3), days(3.5, 9))
    assert holes(both, days(0, 1), database=database) == {"radar": [days(0, 1)]}
    note(database, days(0, 5), owner="rain_ahead", source="radar")
    assert holes(both, days(0, 4), database=database) == {"weather": [days(1, 2), days(3, 3.5)]}
    assert holes(both, days(-1, 1), database=database) == {"radar": [days(-1, 0)], "weather": [days(-1, 0)]}
    assert holes(both, days(4, 5), database=database) == {}


def test_the_micro_batch_checks_a_source_by_its_owners_reference_tables(installation: Path) -> None:
    micro_batch = MicroBatch(TRANSFORMS, (WEATHER,), landed.lake_of(installation))
    micro_batch.take_deliveries(datetime(2013, 2, 8, 12, tzinfo=UTC))
    assert micro_batch.features_at(datetime(2013, 2, 8, 12, tzinfo=UTC))["airport_rain"]

    for path in (installation / "references" / OWNER).iterdir():
        path.unlink()
    with pytest.raises(ReferenceMissingError, match="run `python -m feature_repo reference flight_delay` first"):
        MicroBatch(TRANSFORMS, (WEATHER,), landed.lake_of(installation))


def test_references_of_one_name_do_not_meet(installation: Path) -> None:
    """A second owner's `airports`, of which none is the first one's: its rules see its own."""
    ours = Column(name="newest_hour", type=ColumnType.FLOAT32)
    other = replace(WEATHER, name="radar")
    both = replace(RAIN, sources=("radar",), views=(replace(RAIN.views[0], columns=(ours,)),))
    folder = installation / "references" / "rain_ahead"
    folder.mkdir(parents=True)
    pa.parquet.write_table(pa.table({"airport": ["XXX"]}), folder / "airports.parquet")

    micro_batch = MicroBatch(replace(TRANSFORMS, contract=both), (WEATHER, other), landed.lake_of(installation))

    def airports(name: str) -> set[str]:
        return {code for (code,) in micro_batch.connection.sql(f"SELECT airport FROM {name}").fetchall()}

    assert airports(other.reference_table("airports")) == {"XXX"}
    listed = {str(code) for code in nycflights.references()["airports"]["airport"].to_pylist()}
    assert airports(WEATHER.reference_table("airports")) == listed
