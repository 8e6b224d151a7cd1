"""From the rows of a batch and the verdicts on them: what is clean, what goes to quarantine, what repeats.

The same statements run on an interval, after Great Expectations, and in the micro-batch, after DuckDB's rules, so that
only the engine of the rules differs between them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import rules_sql
from feature_repo.contracts import folders
from feature_repo.contracts.base import JOINT, DataInterval
from feature_repo.errors import IntervalRefusedError, NothingDeliveredError, ReferenceMissingError
from feature_repo.expectations import RefersTo, Severity
from feature_repo.sources import DELIVERED_AT, Source
from infra.quoting import parquet_files, sql_literal

Engine = Callable[[duckdb.DuckDBPyConnection, Source, str, str], None]

UNIQUE = "unique:key"
UNIQUE_REASON = "another value for a key that was delivered before; the first stays, history is never rewritten"


@dataclass(frozen=True, kw_only=True)
class BatchTables:
    """The temporary tables that a check of a source leaves in its connection."""

    delivered: str
    verdicts: str
    clean: str
    quarantined: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Rows counted: `num_rows` delivered = clean + quarantined + repeats; a warned row is also a clean one."""

    num_rows: int
    num_clean: int
    num_quarantined: int
    num_repeats: int
    num_warned: int
    rows_by_rule: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """The share of rows that were not quarantined."""
        return 1.0 - self.num_quarantined / self.num_rows if self.num_rows else 0.0

    @property
    def summary(self) -> str:
        return (
            f"{self.num_rows} rows delivered, {self.num_clean} clean ({self.num_warned} with a warning), "
            f"{self.num_quarantined} quarantined, {self.num_repeats} repeats; score {self.score:.4f}"
            + "".join(f"; {warning}" for warning in self.warnings)
        )


def tables_of(source: Source) -> BatchTables:
    names = {kind: f"{source.name}{JOINT}{kind}" for kind in ("delivered", "verdicts", "clean", "quarantined")}
    return BatchTables(**names)


def connect() -> duckdb.DuckDBPyConnection:
    """An embedded database in UTC, whatever the machine's time zone; its SQL cannot name a Python variable."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
    return connection


def open_references(connection: duckdb.DuckDBPyConnection, source: Source, owner: str, data_dir: Path) -> None:
    """Read the owner's reference tables that the source's rules speak of, named as `source.reference_table` says."""
    for name in sorted({rule.reference for rule in source.expectations if isinstance(rule, RefersTo)}):
        path = folders.reference(data_dir, owner, name)
        if not path.exists():
            raise ReferenceMissingError(
                f"{source.name}: no reference table {path}; run `python -m feature_repo reference {owner}` first"
            )
        check_reference(source, owner, name, path)
        table = source.reference_table(name)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM {parquet_files(path)}")


def check_reference(source: Source, owner: str, name: str, path: Path) -> None:
    """Raises ReferenceMissingError unless every column that a rule compares with is there and has a type."""
    schema = pq.read_schema(path)
    for rule in source.expectations:
        if not isinstance(rule, RefersTo) or rule.reference != name:
            continue
        index = schema.get_field_index(rule.reference_column)
        if index < 0 or pa.types.is_null(schema.field(index).type):
            raise ReferenceMissingError(
                f"{source.name}: {rule.name} compares with column {rule.reference_column} of {path}, which "
                f"{'is not there' if index < 0 else 'has no type'}; declare it in {owner}'s REFERENCES, then run "
                f"`python -m feature_repo reference {owner}`"
            )


def check(
    connection: duckdb.DuckDBPyConnection, source: Source, *, engine: Engine = rules_sql.verdicts, known: str = ""
) -> Report:
    """Split the source's `delivered` table (see `landing.load`) into `clean` and `quarantined`.

    `known` names a table of rows accepted earlier; a row whose key is in it is a repeat. Of a key, the row delivered
    first stays; a later equal one is dropped, a different one is quarantined.
    """
    tables = tables_of(source)
    engine(connection, source, tables.delivered, tables.verdicts)
    connection.execute(first_broken_rule(source, tables))
    connection.execute(find_repeats(source, tables, known))
    connection.execute(split_clean(source, tables))
    connection.execute(split_quarantined(source, tables))
    return count(connection, source, tables)


def names_of(source: Source, severity: Severity) -> str:
    names = [sql_literal(rule.name) for rule in source.expectations if rule.severity is severity]
    return ", ".join(names) or "NULL"


def first_broken_rule(source: Source, tables: BatchTables) -> str:
    """`<verdicts>_first (row, rule, broken)`: of the rules of severity fail, the first declared, and all of them."""
    order = ", ".join(sql_literal(rule.name) for rule in source.expectations)
    return f"""
        CREATE OR REPLACE TEMP TABLE {tables.verdicts}_first AS
        SELECT row, arg_min(rule, list_position([{order}], rule)) AS rule,
            string_agg(rule, ', ' ORDER BY list_position([{order}], rule)) AS broken
        FROM {tables.verdicts} WHERE rule IN ({names_of(source, Severity.FAIL)}) GROUP BY row"""


def find_repeats(source: Source, tables: BatchTables, known: str) -> str:
    """`<verdicts>_repeats (row, difference)`: rows whose key came before; no difference means the same again."""
    key, compared = ", ".join(source.key), [name for name in source.types if name not in source.key]
    earlier = f"UNION ALL BY NAME SELECT 0 AS row, {key}, {', '.join(compared)} FROM {known}" if known else ""
    differences = ", ".join(
        f"CASE WHEN {name} IS DISTINCT FROM first_value({name}) OVER of_key THEN concat("
        f"'{name} = ', {text(name)}, ', first ', {text(f'first_value({name}) OVER of_key')}) END"
        for name in compared
    )
    return f"""
        CREATE OR REPLACE TEMP TABLE {tables.verdicts}_repeats AS
        WITH candidates AS (
            SELECT row, {key}, {", ".join(compared)} FROM {tables.delivered}
            WHERE row NOT IN (SELECT row FROM {tables.verdicts}_first) {earlier}
        )
        SELECT row, nullif(concat_ws('; ', {differences or "NULL"}), '') AS difference
        FROM candidates WINDOW of_key AS (PARTITION BY {key} ORDER BY row)
        QUALIFY row > 0 AND row_number() OVER of_key > 1"""


def split_clean(source: Source, tables: BatchTables) -> str:
    order = ", ".join((DELIVERED_AT, *source.key))
    return f"""
        CREATE OR REPLACE TEMP TABLE {tables.clean} AS
        SELECT {", ".join(source.columns)} FROM {tables.delivered}
        WHERE row NOT IN (SELECT row FROM {tables.verdicts}_first)
            AND row NOT IN (SELECT row FROM {tables.verdicts}_repeats)
        ORDER BY {order}"""


def split_quarantined(source: Source, tables: BatchTables) -> str:
    """The delivered row with `rule`, its `reason`, the `value` that broke it, and all rules that it `broken`."""
    reason = " ".join(f"WHEN {sql_literal(rule.name)} THEN {sql_literal(rule.reason)}" for rule in source.expectations)
    value = " ".join(
        f"WHEN {sql_literal(rule.name)} THEN concat_ws(', ', {shown(rule.columns)})" for rule in source.expectations
    )
    return f"""
        CREATE OR REPLACE TEMP TABLE {tables.quarantined} AS
        SELECT delivered.*, rule, CASE rule {reason} END AS reason, CASE rule {value} END AS value, broken
        FROM {tables.delivered} AS delivered JOIN {tables.verdicts}_first USING (row)
        UNION ALL
        SELECT delivered.*, {sql_literal(UNIQUE)}, {sql_literal(UNIQUE_REASON)}, difference, {sql_literal(UNIQUE)}
        FROM {tables.delivered} AS delivered JOIN {tables.verdicts}_repeats USING (row) WHERE difference IS NOT NULL
        ORDER BY row"""


def shown(names: tuple[str, ...]) -> str:
    return ", ".join(f"concat('{name} = ', {text(name)})" for name in names)


def text(expression: str) -> str:
    """SQL for the value as a person reads it: one that is there but empty is not absent."""
    value = f"CAST({expression} AS VARCHAR)"
    return f"""coalesce(CASE {value} WHEN '' THEN '""' ELSE {value} END, 'absent')"""


def count(connection: duckdb.DuckDBPyConnection, source: Source, tables: BatchTables) -> Report:
    def number(query: str) -> int:
        (found,) = connection.sql(query).fetchall()[0]
        return int(found)

    rules = connection.sql(f"SELECT rule, count(*) FROM {tables.verdicts} GROUP BY rule ORDER BY rule").fetchall()
    conflicts = number(f"SELECT count(*) FROM {tables.quarantined} WHERE rule = {sql_literal(UNIQUE)}")
    warned = f"SELECT row FROM {tables.verdicts} WHERE rule IN ({names_of(source, Severity.WARN)})"
    return Report(
        num_rows=number(f"SELECT count(*) FROM {tables.delivered}"),
        num_clean=number(f"SELECT count(*) FROM {tables.clean}"),
        num_quarantined=number(f"SELECT count(*) FROM {tables.quarantined}"),
        num_repeats=number(f"SELECT count(*) FROM {tables.verdicts}_repeats WHERE difference IS NULL"),
        num_warned=number(
            f"SELECT count(DISTINCT row) FROM ({warned}) WHERE row NOT IN (SELECT row FROM {tables.quarantined}) "
            f"AND row NOT IN (SELECT row FROM {tables.verdicts}_repeats)"
        ),
        rows_by_rule={**dict(rules), **({UNIQUE: conflicts} if conflicts else {})},
    )


def refuse_if_defective(
    connection: duckdb.DuckDBPyConnection, source: Source, interval: DataInterval, report: Report
) -> None:
    """Raises IntervalRefusedError if the batch is empty or holds more bad rows than its source may deliver."""
    if report.num_rows == 0:
        raise NothingDeliveredError([source.name], interval)
    share = report.num_quarantined / report.num_rows
    if share <= source.max_quarantined_share:
        return
    rule, number, reason, value = connection.sql(
        f"SELECT rule, count(*) AS number, any_value(reason), first(value ORDER BY row) "
        f"FROM {tables_of(source).quarantined} GROUP BY rule ORDER BY number DESC, rule LIMIT 1"
    ).fetchall()[0]
    raise IntervalRefusedError(
        f"{source.name}: {report.num_quarantined} of {report.num_rows} rows are bad ({share:.1%}, at most "
        f"{source.max_quarantined_share:.1%} may be), {number} of them by {rule}: {reason}; the first: {value}. "
        "The lake is unchanged. Have the source deliver the interval again, corrected, then run this again"
    )
