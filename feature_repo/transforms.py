"""One definition per feature: SQL that is executed over a grid of instants, many of them offline, the newest online.

A use case has one SELECT per feature view over `instants(instant)` and its sources, `population` and `labels`, one per
table that the views share, and a `prelude` of macros: files of `sql/<use case>/`, or texts in its declaration.
Offline and online load the same tables and run the same text, so there is no second code base that could disagree with
the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from feature_repo.contracts.base import Column, ColumnType, DataInterval, FeatureViewContract, UseCase, require_own_name
from feature_repo.errors import TransformError
from infra.clock import to_microseconds

SQL_TYPES = {ColumnType.FLOAT32: "FLOAT", ColumnType.INT64: "BIGINT", ColumnType.STRING: "VARCHAR"}
PRELUDE = "prelude"
SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True, kw_only=True)
class Transforms:
    """How a use case's features are computed.

    `history` is how long before an instant a row may have been delivered and still matter to it: a row that only
    older instants need is never loaded, offline or online. `shared` names the tables that the views read, each made
    by its own SELECT, in an order in which one may read those before it.
    """

    contract: UseCase
    history: timedelta
    shared: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owned = dict.fromkeys(self.contract.owner_by_source, "source")
        owned |= {view.name: "feature view" for view in self.contract.views}
        for name in self.shared:
            require_own_name("shared table", name)
            if name in owned:
                raise ValueError(
                    f"{self.contract.name}: shared table {name!r} has the name, and so the table or the "
                    f"file, of its {owned[name]}; rename it"
                )
            owned[name] = "shared table"

    def path(self, name: str) -> Path:
        return SQL / self.contract.name / f"{name}.sql"

    def sql(self, name: str) -> str:
        """The text of that name, else the file's. Raises TransformError if there is neither."""
        if name in self.texts:
            return self.texts[name]
        path = self.path(name)
        try:
            return path.read_text()
        except FileNotFoundError as error:
            raise TransformError(f"{self.contract.name}: {path} does not exist; write one SELECT for {name}") from error

    @cached_property
    def prelude(self) -> str:
        return self.sql(PRELUDE) if PRELUDE in self.texts or self.path(PRELUDE).exists() else ""

    @cached_property
    def shared_statements(self) -> Mapping[str, str]:
        return {name: self.sql(name) for name in self.shared}

    @cached_property
    def statements(self) -> Mapping[str, str]:
        """The views' SQL by name, wrapped so that a view has its contract's columns in their order and types."""
        return {view.name: conform(view, self.sql(view.name)) for view in self.contract.views}


def sql_type(column: Column) -> str:
    return SQL_TYPES[column.type]


def conform(view: FeatureViewContract, select: str) -> str:
    """Keys, then columns cast to the contract's types; a row without a key or without any value does not exist."""
    columns = ", ".join(f"CAST({column.name} AS {sql_type(column)}) AS {column.name}" for column in view.columns)
    empty = " AND ".join(f"{column.name} IS NULL" for column in view.columns)
    keyed = " AND ".join(f"{key} IS NOT NULL" for key in view.join_keys)
    keys = ", ".join(view.join_keys)
    return f"SELECT instant, {keys}, {columns} FROM (\n{select}\n) WHERE {keyed} AND NOT ({empty})"


def open_engine(threads: int) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB in UTC. With one thread it leaves the other core to whoever serves."""
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = 'UTC'; SET threads = {threads}; SET preserve_insertion_order = true")
    return connection


def open_preparing_engine() -> duckdb.DuckDBPyConnection:
    """One whose plans may be kept while their tables change: they assume nothing of the values found when planned."""
    connection = open_engine(threads=1)
    connection.execute("SET disabled_optimizers = 'statistics_propagation,compressed_materialization'")
    return connection


def load_source(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, step: timedelta) -> None:
    """Make the table `name` of a source's clean rows."""
    connection.register("loaded", without_time_zone(rows))
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT *, {known_from(step)} AS known_from FROM loaded")
    connection.unregister("loaded")


def known_from(step: timedelta) -> str:
    """SQL for the first instant of the grid that lies after `delivered_at`."""
    microseconds = step // timedelta(microseconds=1)
    return f"make_timestamp((epoch_us(delivered_at) // {microseconds} + 1) * {microseconds})"


def without_time_zone(rows: pa.Table) -> pa.Table:
    """DuckDB computes several times faster on a timestamp without zone; ours are all in UTC."""
    fields = [
        pa.field(field.name, pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def with_time_zone(rows: pa.Table) -> pa.Table:
    """What `without_time_zone` took."""
    fields = [
        pa.field(field.name, pa.timestamp("us", "UTC")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def compute(
    connection: duckdb.DuckDBPyConnection, transforms: Transforms, instants: Sequence[datetime]
) -> dict[str, pa.Table]:
    """Each view's rows at the given instants: `instant`, keys, columns. The sources must have been loaded."""
    prepare_tables(connection, transforms, instants)
    return {
        name: run(connection, transforms, name, statement).to_arrow_table()
        for name, statement in transforms.statements.items()
    }


def prepare_tables(connection: duckdb.DuckDBPyConnection, transforms: Transforms, instants: Sequence[datetime]) -> None:
    """Make `instants` and what the views share."""
    run(connection, transforms, "instants", f"CREATE OR REPLACE TABLE instants (instant TIMESTAMP); {fill(instants)}")
    if transforms.prelude:
        run(connection, transforms, PRELUDE, transforms.prelude)
    for name, select in transforms.shared_statements.items():
        run(connection, transforms, name, f"CREATE OR REPLACE TABLE {name} AS\n{select}")


class Prepared:
    """The same statements for one instant after another, planned once: at a few rows planning is most of it.

    A plan outlives the rows that it was made for, so the connection is one of `open_preparing_engine`. Once a table was
    made or replaced, every plan from before is made anew at each use: make a new `Prepared` then.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, transforms: Transforms, instant: datetime) -> None:
        self.connection, self.transforms = connection, transforms
        prepare_tables(connection, transforms, [instant])
        for name in ("instants", *transforms.shared):
            run(connection, transforms, name, f"DELETE FROM {name}")
        for name, select in transforms.shared_statements.items():
            run(connection, transforms, name, f"PREPARE fill_{name} AS INSERT INTO {name}\n{select}")
        for name, statement in transforms.statements.items():
            run(connection, transforms, name, f"PREPARE view_{name} AS {statement}")

    def rows_at(self, instant: datetime) -> dict[str, list[tuple[object, ...]]]:
        """Each view's rows as tuples: the instant, keys, columns.

        The shared tables hold the instant's rows for one transaction, which is rolled back: nothing is left to delete.
        """
        self.connection.begin()
        try:
            run(self.connection, self.transforms, "instants", fill([instant]))
            for name in self.transforms.shared:
                run(self.connection, self.transforms, name, f"EXECUTE fill_{name}")
            return {
                name: run(self.connection, self.transforms, name, f"EXECUTE view_{name}").fetchall()
                for name in self.transforms.statements
            }
        finally:
            self.connection.rollback()


def fill(instants: Sequence[datetime]) -> str:
    grid = ", ".join(f"(make_timestamp({to_microseconds(instant)}))" for instant in instants)
    return f"INSERT INTO instants VALUES {grid}"


def run(
    connection: duckdb.DuckDBPyConnection, transforms: Transforms, name: str, statement: str
) -> duckdb.DuckDBPyConnection:
    try:
        return connection.execute(statement)
    except duckdb.Error as error:
        raise TransformError(f"{transforms.contract.name}: the SQL of {name} failed: {error}") from error


def grid(interval: DataInterval, step: timedelta) -> Iterator[datetime]:
    """The instants in the interval; it must begin on one."""
    instant = interval.start
    while instant < interval.end:
        yield instant
        instant += step
