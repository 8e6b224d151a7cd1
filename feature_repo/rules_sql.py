"""The expectations as DuckDB SQL: milliseconds on a micro-batch, where importing Great Expectations takes seconds.

Every rule becomes one predicate that is true for a row that breaks it. The table checked has a `row` column (see
`feature_repo.landing`), and a source's reference tables are open (see `feature_repo.validation`).
"""

from datetime import timedelta

import duckdb

from feature_repo.expectations import Complete, Expectation, Fresh, InRange, Matches, Ordered, RefersTo, SpansMinutes
from feature_repo.sources import Source
from infra.quoting import sql_literal


def microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def broken(source: Source, rule: Expectation) -> str:
    """SQL that is true for a row of the source that breaks the rule, and false or null for any other."""
    predicate = violation(source, rule)
    if rule.when is None:
        return predicate
    values = ", ".join(sql_literal(value) for value in rule.when.values)
    return f"({predicate}) AND {rule.when.column} IN ({values})"


def violation(source: Source, rule: Expectation) -> str:
    match rule:
        case Complete():
            return f"{rule.column} IS NULL"
        case InRange():
            return f"{rule.column} NOT BETWEEN {rule.minimum!r} AND {rule.maximum!r}"
        case Matches():
            return f"NOT regexp_full_match({rule.column}, {sql_literal(rule.pattern)})"
        case RefersTo():
            # Beside a null, NOT IN is true of nothing: one absent name would let every value pass.
            name = rule.reference_column
            known = f"SELECT {name} FROM {source.reference_table(rule.reference)} WHERE {name} IS NOT NULL"
            return f"{rule.column} IS NOT NULL AND {rule.column} NOT IN ({known})"
        case Ordered():
            return outside(rule.earlier, rule.column, rule.at_least, rule.at_most)
        case Fresh():
            return outside(rule.column, rule.delivered_at, timedelta(microseconds=-(2**62)), rule.at_most)
        case SpansMinutes():
            return f"{rule.column} * 60000000 <> epoch_us({rule.end}) - epoch_us({rule.start})"
        case _:
            raise TypeError(f"no SQL for {type(rule).__name__}; add a case here and one in feature_repo.suite")


def outside(earlier: str, later: str, at_least: timedelta, at_most: timedelta) -> str:
    bounds = f"{microseconds(at_least)} AND {microseconds(at_most)}"
    return f"epoch_us({later}) - epoch_us({earlier}) NOT BETWEEN {bounds}"


def verdicts(connection: duckdb.DuckDBPyConnection, source: Source, batch: str, into: str) -> None:
    """Make the table `into (row, rule)`: one row for each broken rule of each row of `batch`."""
    checks = [
        f"SELECT row, {sql_literal(rule.name)} AS rule FROM {batch} WHERE {broken(source, rule)}"
        for rule in source.expectations
    ]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS " + " UNION ALL ".join(checks))
