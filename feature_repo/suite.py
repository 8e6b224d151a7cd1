"""The expectations as a Great Expectations suite, run over an interval's rows in memory.

The library takes seconds to import, so it is imported on first use and only an ingest uses it. A rule about two columns
is checked on the column of their difference, one about a reference table on whether the table has the value: the
library copies its arguments hundreds of times, and a table has thousands of values. Times and differences are whole
microseconds: no rounding, as in SQL.
"""

from datetime import timedelta

import duckdb
import pandas as pd
import pyarrow as pa

from feature_repo.deferred import defer
from feature_repo.expectations import (
    Complete,
    Expectation,
    Fresh,
    InRange,
    Matches,
    Ordered,
    RefersTo,
    Severity,
    SpansMinutes,
)
from feature_repo.sources import Source

MICROSECOND = timedelta(microseconds=1)


def verdicts(connection: duckdb.DuckDBPyConnection, source: Source, batch: str, into: str) -> None:
    """Make the table `into (row, rule)`: one row for each broken rule of each row of `batch`."""
    frame = connection.sql(f"SELECT * FROM {batch} ORDER BY row").df().set_index("row").rename_axis(None)
    for rule in source.expectations:
        if isinstance(rule, RefersTo):
            add_presence(frame, rule, connection, source.reference_table(rule.reference))
        else:
            add_difference(frame, rule)
    # A frame that got its columns one by one lies in pieces, which every slice of it would put together anew.
    rows_by_rule = validate(frame.copy(), source)
    pairs = [(row, name) for name, rows in rows_by_rule.items() for row in rows]
    table = pa.table(
        {
            "row": pa.array([row for row, _ in pairs], pa.int64()),
            "rule": pa.array([name for _, name in pairs], "string"),
        }
    )
    connection.register("great_expectations_verdicts", table)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT * FROM great_expectations_verdicts")
    connection.unregister("great_expectations_verdicts")


def validate(frame: pd.DataFrame, source: Source) -> dict[str, list[int]]:
    """The index labels of the rows that break each rule, by the rule's name."""
    defer("altair", "scipy.stats")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations import core
    from great_expectations.expectations.row_conditions import Column

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("deliveries").add_dataframe_asset(source.name)
    batch = asset.add_batch_definition_whole_dataframe("interval").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name=source.name)
    for rule in source.expectations:
        name, arguments = translate(rule)
        condition = Column(rule.when.column).is_in(list(rule.when.values)) if rule.when else None
        severity = "critical" if rule.severity is Severity.FAIL else "warning"
        meta = {"rule": rule.name, "reason": rule.reason}
        expectation = getattr(core, name)(**arguments, row_condition=condition, severity=severity, meta=meta)
        suite.add_expectation(expectation)
    outcome = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    rows_by_rule: dict[str, list[int]] = {}
    for result in outcome.results:
        name = result.expectation_config.meta["rule"]
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"{source.name}: Great Expectations could not check {name}: {result.exception_info}")
        rows_by_rule[name] = [int(row) for row in result.result["unexpected_index_list"]]
    return rows_by_rule


def translate(rule: Expectation) -> tuple[str, dict[str, object]]:
    """The library's name for the rule and its arguments; some rules speak of a column that was added for them."""
    match rule:
        case Complete():
            return "ExpectColumnValuesToNotBeNull", {"column": rule.column}
        case InRange():
            return between(rule.column, rule.minimum, rule.maximum)
        case Matches():
            return "ExpectColumnValuesToMatchRegex", {"column": rule.column, "regex": rf"^(?:{rule.pattern})\Z"}
        case RefersTo():
            return "ExpectColumnValuesToBeInSet", {"column": rule.name, "value_set": [True]}
        case Ordered():
            return between(rule.name, rule.at_least // MICROSECOND, rule.at_most // MICROSECOND)
        case Fresh():
            return between(rule.name, None, rule.at_most // MICROSECOND)
        case SpansMinutes():
            return between(rule.name, 0, 0)
        case _:
            raise TypeError(f"no expectation for {type(rule).__name__}; add a case here and one in rules_sql")


def between(column: str, minimum: float | None, maximum: float) -> tuple[str, dict[str, object]]:
    return "ExpectColumnValuesToBeBetween", {"column": column, "min_value": minimum, "max_value": maximum}


def add_presence(frame: pd.DataFrame, rule: RefersTo, connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Add the column of whether the reference table has the value, absent where the value is, under the rule's name."""
    rows = connection.sql(f"SELECT DISTINCT {rule.reference_column} FROM {table}").fetchall()
    values = frame[rule.column]
    frame[rule.name] = values.isin([value for (value,) in rows]).astype(object).where(values.notna(), None)


def add_difference(frame: pd.DataFrame, rule: Expectation) -> None:
    """Add the column of differences that a rule about two columns is checked on, under the rule's name."""
    match rule:
        case Ordered():
            frame[rule.name] = elapsed(frame[rule.earlier], frame[rule.column])
        case Fresh():
            frame[rule.name] = elapsed(frame[rule.column], frame[rule.delivered_at])
        case SpansMinutes():
            frame[rule.name] = elapsed(frame[rule.start], frame[rule.end]) - frame[rule.column] * 60_000_000


def elapsed(earlier: "pd.Series[pd.Timestamp]", later: "pd.Series[pd.Timestamp]") -> "pd.Series[float]":
    """Microseconds from `earlier` to `later`, absent where either is; exact up to 2**53, some 285 years."""
    return (later - earlier) / pd.Timedelta(microseconds=1)
