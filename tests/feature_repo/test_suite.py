"""Great Expectations and DuckDB give the same verdict on every row: real rows, with every rule broken on purpose."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import rules_sql, suite
from feature_repo.contracts import folders
from feature_repo.expectations import (
    Complete,
    Expectation,
    Fresh,
    InRange,
    Matches,
    Ordered,
    RefersTo,
    SpansMinutes,
)
from feature_repo.sources import Source
from feature_repo.validation import Engine, connect, open_references
from tests.feature_repo import landed

MICROSECOND = timedelta(microseconds=1)
FAR = timedelta(days=4000)
Row = dict[str, Any]


def planted(rule: Expectation, row: Row) -> list[Row]:
    """The row, changed in ways that break the rule or come as close to it as can be."""
    if rule.when:
        row = {**row, rule.when.column: rule.when.values[0]}
    return [{**row, **change} for change in changes(rule, row)]


def changes(rule: Expectation, row: Row) -> list[Row]:
    at = row.get(rule.column)
    match rule:
        case Complete():
            return [{rule.column: None}]
        case InRange():
            bounds = (rule.minimum, rule.maximum, rule.minimum - 1, rule.maximum + 1)
            return [{rule.column: value if at is None else type(at)(value)} for value in bounds]
        case Matches():
            return [{rule.column: f"{at}{end}"} for end in ("\n", " ", "X9X9X9", "é")] + [{rule.column: ""}]
        case RefersTo():
            return [{rule.column: "ZZ9"}, {rule.column: "zz"}]
        case Ordered():
            gaps = (rule.at_least, rule.at_least - MICROSECOND, rule.at_most, rule.at_most + MICROSECOND, -FAR)
            return [{rule.column: row[rule.earlier] + gap} for gap in gaps]
        case Fresh():
            ages = (timedelta(0), rule.at_most, rule.at_most + MICROSECOND)
            return [{rule.column: row[rule.delivered_at] - age} for age in ages]
        case SpansMinutes():
            end = row[rule.end] or row[rule.start]
            minutes = (end - row[rule.start]) / timedelta(minutes=1)
            values = (minutes, minutes / 60, minutes + 1, minutes + 0.1, minutes + 1e-9)
            return [{rule.end: end, rule.column: value} for value in values]
        case _:
            raise AssertionError(f"plant faults for {rule}")


def with_faults(source: Source, rows: pa.Table) -> pa.Table:
    """Real rows, then for every rule rows that break it, one of them absent in every column that may be."""
    real = rows.to_pylist()
    whole = next((row for row in real if row.get("event") == "arrived"), real[0])
    faults = [fault for rule in source.expectations for fault in planted(rule, whole)]
    nothing = {**dict.fromkeys(source.columns), "delivered_at": whole["delivered_at"]}
    endless = [{**whole, name: value} for name in source.float_columns for value in (float("inf"), float("-inf"))]
    return pa.Table.from_pylist([*real, *faults, nothing, *endless], schema=source.schema)


def verdicts_of(connection: duckdb.DuckDBPyConnection, engine: Engine, source: Source) -> "Counter[tuple[int, str]]":
    engine(connection, source, "batch", "found")
    return Counter(connection.sql("SELECT row, rule FROM found").fetchall())


@pytest.mark.parametrize("name", sorted(landed.SOURCES))
def test_both_engines_agree_on_every_row_and_every_rule(
    name: str, tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    source, connection = landed.SOURCES[name], connect()
    landed.write_references(tmp_path)
    open_references(connection, source, landed.OWNER, tmp_path)
    batch = with_faults(source, two_days[name])
    batch = batch.append_column("row", pa.array(range(1, batch.num_rows + 1), pa.int64()))
    connection.register("batch", batch)

    by_sql = verdicts_of(connection, rules_sql.verdicts, source)
    by_suite = verdicts_of(connection, suite.verdicts, source)

    assert by_sql == by_suite
    broken = {rule for _, rule in by_sql}
    assert broken == {rule.name for rule in source.expectations}, "every rule was broken by some row"
    print(f"{name}: {batch.num_rows} rows, {len(by_sql)} broken rules, the same from both engines")


def write_some_references(data_dir: Path, which: str) -> None:
    """The reference tables as they are, without a row, or with a row in which everything is absent."""
    landed.write_references(data_dir)
    for path in folders.reference(data_dir, landed.OWNER, "x").parent.glob("*.parquet"):
        table = pq.read_table(path)
        nothing = pa.Table.from_pylist([dict.fromkeys(table.column_names)], schema=table.schema)
        changed = {"whole": table, "empty": table.slice(0, 0), "absent": pa.concat_tables([table, nothing])}[which]
        pq.write_table(changed, path)


@pytest.mark.parametrize("which", ["whole", "empty", "absent"])
@pytest.mark.parametrize("name", sorted(landed.SOURCES))
def test_both_engines_agree_on_next_to_nothing(
    name: str, which: str, tmp_path: Path, two_days: dict[str, pa.Table]
) -> None:
    source, connection = landed.SOURCES[name], connect()
    write_some_references(tmp_path, which)
    open_references(connection, source, landed.OWNER, tmp_path)
    row = two_days[name].slice(0, 1).to_pylist()[0]
    nothing = {**dict.fromkeys(source.columns), "delivered_at": row["delivered_at"]}
    unlisted = {**row, "origin": "ZZZ"}
    for rows in ([], [row], [unlisted], [nothing] * 2):
        batch = pa.Table.from_pylist(rows, schema=source.schema)
        connection.register("batch", batch.append_column("row", pa.array(range(len(rows)), pa.int64())))
        by_sql = verdicts_of(connection, rules_sql.verdicts, source)
        assert by_sql == verdicts_of(connection, suite.verdicts, source), rows
        assert ((0, "referential:origin") in by_sql) == (rows == [unlisted] or (rows == [row] and which == "empty"))


def test_a_rule_changed_for_one_engine_alone_is_seen(tmp_path: Path, two_days: dict[str, pa.Table]) -> None:
    """The control of the test above: one bound moved by one makes the verdicts differ."""
    source, connection = landed.SOURCES["weather"], connect()
    landed.write_references(tmp_path)
    open_references(connection, source, landed.OWNER, tmp_path)
    batch = with_faults(source, two_days["weather"])
    batch = batch.append_column("row", pa.array(range(1, batch.num_rows + 1), pa.int64()))
    connection.register("batch", batch)
    rules = tuple(
        replace(rule, maximum=rule.maximum + 1) if isinstance(rule, InRange) and rule.column == "humidity" else rule
        for rule in source.expectations
    )

    changed = verdicts_of(connection, rules_sql.verdicts, replace(source, expectations=rules))

    assert changed != verdicts_of(connection, suite.verdicts, source)
