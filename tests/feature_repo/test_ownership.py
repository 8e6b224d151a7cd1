"""Names of an installation: two of one are refused when the contracts load, and nobody's port moves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from feature_repo.contracts import USE_CASES, serving_port
from feature_repo.contracts.base import FeatureViewContract, SharedSource, UseCase
from feature_repo.contracts.flight_delay import FLIGHT_DELAY, VIEWS
from feature_repo.contracts.ownership import listed_by_name

VIEW = replace(VIEWS[0], name="airport_rain")
RAIN = replace(
    FLIGHT_DELAY,
    name="rain_ahead",
    feature_service="rain_ahead_v1",
    port_offset=1,
    sources=("radar",),
    reads=(SharedSource(name="weather", owner="flight_delay"),),
    views=(VIEW,),
)


def reads(*pairs: tuple[str, str]) -> tuple[SharedSource, ...]:
    return tuple(SharedSource(name=name, owner=owner) for name, owner in pairs)


def views(*names: str) -> tuple[FeatureViewContract, ...]:
    return tuple(replace(VIEW, name=name, columns=VIEW.columns[n : n + 1]) for n, name in enumerate(names))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            replace(RAIN, name="flight_delay", reads=()),
            "the use case of flight_delay and the use case of flight_delay are both called 'flight_delay'",
        ),
        (
            replace(RAIN, sources=("weather",), reads=()),
            "the source of flight_delay and the source of rain_ahead are both called 'weather' .*"
            "have rain_ahead name it in `reads`",
        ),
        (
            replace(RAIN, sources=("radar", "radar")),
            "the source of rain_ahead and the source of rain_ahead are both called 'radar'",
        ),
        (
            replace(RAIN, views=views("aircraft")),
            "the feature view of flight_delay and the feature view of rain_ahead are both called 'aircraft'",
        ),
        (
            replace(RAIN, views=views("airport_rain", "airport_rain")),
            "the feature view of rain_ahead and the feature view of rain_ahead are both called 'airport_rain'",
        ),
        (
            replace(RAIN, views=views("weather")),
            "the source of flight_delay and the feature view of rain_ahead are both called 'weather'",
        ),
        (
            replace(RAIN, views=views("radar")),
            "the source of rain_ahead and the feature view of rain_ahead are both called 'radar'",
        ),
        (
            replace(RAIN, sources=("flight_delay",)),
            "the use case of flight_delay and the source of rain_ahead are both called 'flight_delay'",
        ),
        (
            replace(RAIN, feature_service="flight_delay_v1"),
            "the feature service of flight_delay and the feature service of rain_ahead are both called",
        ),
        (
            replace(RAIN, feature_service="origin_weather"),
            "the feature view of flight_delay and the feature service of rain_ahead are both called",
        ),
        (replace(RAIN, port_offset=0), "flight_delay and rain_ahead both have port_offset 0; give one of them"),
        (
            replace(RAIN, reads=reads(("snow", "flight_delay"))),
            "rain_ahead reads 'snow' of flight_delay, but no use case has such a source",
        ),
        (
            replace(RAIN, reads=reads(("weather", "churn"))),
            "rain_ahead reads 'weather' of churn, but that source belongs to flight_delay; read it from there",
        ),
        (
            replace(RAIN, reads=reads(("radar", "flight_delay"))),
            "rain_ahead reads 'radar' of flight_delay, but owns a source of that name itself",
        ),
        (
            replace(RAIN, reads=reads(("weather", "flight_delay"), ("weather", "flight_delay"))),
            "rain_ahead reads 'weather' of flight_delay twice",
        ),
    ],
    ids=[
        "use cases",
        "sources",
        "a source twice",
        "views",
        "a view twice",
        "a view and another's source",
        "a view and a source",
        "a use case and a source",
        "services",
        "a view and a service",
        "ports",
        "a source of nobody",
        "another owner",
        "its own source",
        "read twice",
    ],
)
def test_a_clash_is_refused_with_both_owners_and_what_to_do(other: UseCase, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        listed_by_name(FLIGHT_DELAY, other)


def test_what_does_not_clash_is_listed_in_its_order() -> None:
    assert list(listed_by_name(RAIN, FLIGHT_DELAY)) == ["rain_ahead", "flight_delay"]


def test_the_names_of_this_installation_do_not_clash() -> None:
    assert listed_by_name(*USE_CASES.values()) == USE_CASES


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: replace(RAIN, name="rain__features"), "use case 'rain__features': two underscores join it"),
        (lambda: replace(RAIN, sources=("radar_",)), "source 'radar_': two underscores join it"),
        (lambda: replace(VIEW, name="flight_delay__labels"), "feature view 'flight_delay__labels': two underscores"),
        (lambda: replace(RAIN, feature_service="rain__v1"), "feature service 'rain__v1': two underscores join it"),
        (lambda: replace(VIEW, name="watermark"), "feature view 'watermark': a table that the platform makes has"),
        (lambda: replace(VIEW, name="population"), "feature view 'population': a table that the platform makes has"),
        (lambda: replace(RAIN, sources=("instants",)), "source 'instants': a table that the platform makes has"),
        (lambda: replace(RAIN, port_offset=-1), "rain_ahead: port_offset is -1, expected 0 or more"),
        (
            lambda: replace(RAIN, request_columns=(*RAIN.request_columns, VIEW.columns[0])),
            f"rain_ahead: {VIEW.columns[0].name} declared twice among its columns of the vector; rename one",
        ),
        (
            lambda: replace(RAIN, request=(*RAIN.request, RAIN.request[0])),
            f"rain_ahead: {RAIN.request[0].name} declared twice among its fields of a request; rename one",
        ),
        (
            lambda: replace(VIEW, join_keys=("origin", VIEW.columns[0].name)),
            f"view airport_rain: {VIEW.columns[0].name} declared twice among its join keys and columns; rename one",
        ),
        (lambda: replace(VIEW.columns[0], name="label"), "column 'label': a row of a training set has one"),
        (lambda: replace(VIEW.columns[0], name="request__origin"), "column 'request__origin': two underscores join"),
    ],
    ids=[
        "a joined use case",
        "a joined source",
        "a joined view",
        "a joined service",
        "the store's table",
        "gold's table",
        "the grid's table",
        "a port before the first",
        "columns",
        "request fields",
        "a join key and a column",
        "the label",
        "a request's field in a training set",
    ],
)
def test_a_name_that_something_of_the_platform_has_is_refused(declare: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        declare()


def test_every_source_has_an_owner_its_own_first() -> None:
    assert RAIN.owner_by_source == {"radar": "rain_ahead", "weather": "flight_delay"}
    assert FLIGHT_DELAY.owner_by_source == {"flights": "flight_delay", "weather": "flight_delay"}
    assert replace(RAIN, sources=()).owner_by_source == {"weather": "flight_delay"}


def test_a_use_case_is_hashable_as_before() -> None:
    assert len({FLIGHT_DELAY, RAIN, replace(RAIN, lag=timedelta(minutes=6))}) == 3


def test_a_port_is_declared_and_no_place_in_a_list() -> None:
    assert serving_port(3000, "flight_delay") == 3000 + FLIGHT_DELAY.port_offset
    offsets = {use_case.name: use_case.port_offset for use_case in listed_by_name(RAIN, FLIGHT_DELAY).values()}
    assert offsets == {"flight_delay": 0, "rain_ahead": 1}
