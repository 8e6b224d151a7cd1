from dataclasses import replace

import duckdb
import pytest

from feature_repo.contracts.base import RESERVED_IN_SQL, Column, ColumnType, RequestField, RequestType
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.expectations import FAIL, WARN, Severity, When, complete, in_range, refers_to
from feature_repo.sources import Source, SourceType, columns
from feature_repo.use_cases.flight_delay import FLIGHTS, SOURCES

CATEGORIES = ("reserved", "type_function")
TIMED = complete(FAIL, "of no time", "seen")
KEYED = (*complete(FAIL, "names nothing", "name"), *TIMED)


def source(**changes: object) -> Source:
    types = columns(string="name", float64="size", timestamp="seen")
    declared = Source(name="s", types=types, key=("name",), time="seen", expectations=KEYED)
    return replace(declared, **changes)  # type: ignore[arg-type]


def test_columns_are_grouped_by_type_and_end_with_the_time_of_delivery() -> None:
    assert columns(string="a b", timestamp="c") == {
        "a": SourceType.STRING,
        "b": SourceType.STRING,
        "c": SourceType.TIMESTAMP,
    }
    assert source().columns == ("name", "size", "seen", "delivered_at")


def test_a_rule_about_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"source s: expectations speak of \['width'\], which are not its columns"):
        source(expectations=(*KEYED, *in_range(FAIL, "no such size", width=(0, 1))))


@pytest.mark.parametrize(
    "name", ["", "Flights", "late flights", "order", "a'b", "../a", "1st", "é", "left", "row"], ids=ascii
)
def test_a_name_that_sql_or_a_path_reads_otherwise_is_refused(name: str) -> None:
    for declare in (
        lambda: source(name=name),
        lambda: source(types={**source().types, name: SourceType.STRING}),
        lambda: Column(name=name, type=ColumnType.STRING),
        lambda: RequestField(name=name, type=RequestType.STRING),
        lambda: replace(FLIGHT_DELAY, name=name),
        lambda: replace(FLIGHT_DELAY.views[0], name=name),
    ):
        with pytest.raises(ValueError, match=r"reserved word|expected a lower-case letter|that the platform adds"):
            declare()


def test_a_reference_that_is_no_name_and_a_bound_that_is_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference table or its column 'air-ports': expected a lower-case letter"):
        refers_to(FAIL, "not listed", name="air-ports.code")
    with pytest.raises(ValueError, match=r"range:size: bounds must be finite, got 0 and inf"):
        in_range(FAIL, "no such size", size=(0, float("inf")))


def test_the_reserved_words_are_duckdbs() -> None:
    words = duckdb.sql(f"SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN {CATEGORIES}").fetchall()
    assert {word for (word,) in words} == RESERVED_IN_SQL


def test_a_source_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="source s: its key is empty; name the columns"):
        source(key=(), expectations=TIMED)


def test_a_rule_for_rows_of_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="a rule for rows by their name names no value"):
        complete(WARN, "no size", "size", when=When(column="name", values=()))


def test_the_same_rule_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['completeness:name'\] are declared twice"):
        source(expectations=(*KEYED, *KEYED))


@pytest.mark.parametrize("expectations", [(), complete(WARN, "names nothing", "name")], ids=["none", "warns only"])
def test_a_key_that_may_be_absent_is_refused(expectations: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"\['name'\] need a Complete expectation of severity fail"):
        source(expectations=(*TIMED, *expectations))


def test_a_time_that_may_be_absent_or_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['seen'\] need a Complete expectation of severity fail"):
        source(expectations=complete(FAIL, "names nothing", "name"))
    with pytest.raises(ValueError, match=r"source s: its time 'size' is none of its columns of type timestamp"):
        source(time="size")


def test_every_expectation_gives_its_reason_and_every_dimension_is_covered() -> None:
    rules = [rule for declared in SOURCES for rule in declared.expectations]
    assert all(rule.reason for rule in rules)
    assert {rule.severity for rule in rules} == set(Severity)
    dimensions = {str(rule.dimension) for rule in FLIGHTS.expectations}
    assert dimensions == {"completeness", "range", "format", "referential", "temporal", "freshness"}
