"""What a use case's file of this layer must declare: the sources of its contract, another's as the other has them."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from feature_repo.contracts.base import SharedSource
from feature_repo.contracts.flight_delay import FLIGHT_DELAY, VIEWS
from feature_repo.declarations import Declarations, declarations_of, refuse_other_sources
from feature_repo.definitions import declared
from feature_repo.feast_sdk import Entity
from feature_repo.sources import Source
from feature_repo.transforms import Transforms
from feature_repo.use_cases.flight_delay import FLIGHTS, SOURCES, WEATHER

RAIN = replace(
    FLIGHT_DELAY,
    name="rain_ahead",
    feature_service="rain_ahead_v1",
    port_offset=1,
    sources=("radar",),
    reads=(SharedSource(name="weather", owner="flight_delay"),),
    views=(replace(VIEWS[0], name="airport_rain"),),
)
RADAR = replace(WEATHER, name="radar")
NOTHING = pa.table({})
READER = Declarations(
    contract=RAIN,
    sources=(RADAR, WEATHER),
    transforms=Transforms(contract=RAIN, history=timedelta(days=1)),
    feed=lambda: [("radar", NOTHING), ("weather", NOTHING)],
    references=lambda: {"airports": NOTHING, "../planes": NOTHING},
)


def test_a_source_that_is_only_read_is_imported_from_its_owner() -> None:
    refuse_other_sources(RAIN, (RADAR, WEATHER))
    refuse_other_sources(RAIN, (WEATHER, RADAR))
    refuse_other_sources(FLIGHT_DELAY, SOURCES)


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ((WEATHER,), "rain_ahead: its SOURCES are weather, its contract owns or reads radar, weather"),
        ((RADAR, WEATHER, FLIGHTS), "rain_ahead: its SOURCES are flights, radar, weather, its contract owns or reads"),
        ((RADAR, RADAR, WEATHER), "rain_ahead: its SOURCES are radar, radar, weather"),
        (
            (RADAR, replace(WEATHER, longest_silence=timedelta(hours=1))),
            "rain_ahead: its weather is not flight_delay's; import it from feature_repo.use_cases.flight_delay",
        ),
        ((RADAR, replace(WEATHER)), "rain_ahead: its weather is not flight_delay's"),
    ],
    ids=["one too few", "one too many", "one twice", "another rule", "a copy"],
)
def test_sources_that_are_not_the_contracts_are_refused(sources: tuple[Source, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        refuse_other_sources(RAIN, sources)


def test_the_declarations_of_this_installation_load() -> None:
    assert declarations_of("flight_delay").sources == SOURCES
    with pytest.raises(ValueError, match="no use case 'churn'"):
        declarations_of("churn")


def test_only_the_owner_ingests_a_source() -> None:
    assert READER.own_source("radar") is RADAR
    with pytest.raises(
        ValueError,
        match="rain_ahead only reads 'weather', its own sources are: radar; flight_delay ingests it: "
        "`python -m feature_repo ingest flight_delay weather`",
    ):
        READER.own_source("weather")
    with pytest.raises(ValueError, match=r"rain_ahead has no source 'flights'; there are: radar$"):
        READER.own_source("flights")


def test_a_feed_delivers_nothing_for_another_owner() -> None:
    delivered = iter(READER.own_feed())
    assert next(delivered)[0] == "radar"
    with pytest.raises(ValueError, match="only reads 'weather'"):
        next(delivered)


def test_a_reference_table_stays_in_its_owners_folder() -> None:
    with pytest.raises(ValueError, match=r"reference table '../planes'"):
        READER.own_references()


@pytest.mark.parametrize(
    ("shared", "sentence"),
    [
        (("flights",), "flight_delay: shared table 'flights' has the name, .* of its source"),
        (("aircraft",), "flight_delay: shared table 'aircraft' has the name, .* of its feature view"),
        (("days", "days"), "flight_delay: shared table 'days' has the name, .* of its shared table"),
        (("instants",), "shared table 'instants': a table that the platform makes has that name"),
        (("prelude",), "shared table 'prelude': a table that the platform makes has that name"),
        (("flights__delivered",), "shared table 'flights__delivered': two underscores join it"),
    ],
    ids=["a source", "a view", "twice", "the grid", "the macros", "a check's table"],
)
def test_a_shared_table_that_would_overwrite_another_is_refused(shared: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Transforms(contract=FLIGHT_DELAY, history=timedelta(days=1), shared=shared)


def test_a_shared_table_has_not_the_name_of_a_source_that_is_only_read() -> None:
    with pytest.raises(ValueError, match=r"rain_ahead: shared table 'weather' has the name, .* of its source"):
        Transforms(contract=RAIN, history=timedelta(days=1), shared=("weather",))


def test_a_join_key_of_two_use_cases_is_one_entity_of_feast() -> None:
    names = [entity.name for entity in declared("p", (FLIGHT_DELAY, RAIN)).entities if isinstance(entity, Entity)]
    assert names.count("origin") == 1
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["declared", "feature_view", "lake"])
def test_a_view_may_be_called_like_a_function_of_the_module_that_feast_reads(name: str) -> None:
    """Feast finds objects by the names of a module, among them those of its functions."""
    named = replace(RAIN, views=(replace(RAIN.views[0], name=name),))
    assert [view.name for view in declared("p", (named,)).feature_views] == [name]
