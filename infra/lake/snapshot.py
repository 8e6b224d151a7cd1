"""A group's tables at the versions that were named together: what a reader sees, however many commits come after.

A Delta table is atomic by itself only, so the database says which versions belong together. Whoever has a snapshot open
shares its lock, and what prunes old versions leaves it alone until that process lets go of it or ends.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection, select

from infra.database import locked, reading
from infra.database.schema import lake_snapshots
from infra.lake.errors import LakeError
from infra.quoting import parquet_files

DAY = "lake_day"
# The library makes a URL of a table's folder and reads these back as something else, or ends the process.
MISREAD = re.compile(r"[\[\]|^\\]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Lake:
    """`root` is the data folder, `database` the address of the database that names the versions."""

    root: Path
    database: str

    def __post_init__(self) -> None:
        """Raises ValueError for a folder that the tables' library cannot name."""
        found = MISREAD.search(str(self.root.absolute()))
        if found:
            raise ValueError(
                f"{self.root}: no lake can lie in a folder with {found.group()} in its path, which the library of its "
                "tables reads as something else; rename it"
            )

    def folder(self, group: str) -> Path:
        return self.root.absolute() / "lake" / group

    @contextmanager
    def open(self, group: str) -> Iterator["Snapshot"]:
        """The newest snapshot; its files stay until the block ends. One without tables if nothing was ever named."""
        while True:
            with reading(self.database) as connection:
                snapshot = newest(connection, self, group)
            if not snapshot.versions:
                yield snapshot
                return
            with locked(self.database, reader_lock(group, snapshot.sequence), shared=True):
                with reading(self.database) as connection:
                    is_still_named = exists(connection, group, snapshot.sequence)
                if is_still_named:
                    yield snapshot
                    return


def reader_lock(group: str, sequence: int) -> str:
    return f"reads/{group}/{sequence}"


def newest(connection: Connection, lake: Lake, group: str) -> "Snapshot":
    row = connection.execute(
        select(lake_snapshots.c.sequence, lake_snapshots.c.versions)
        .where(lake_snapshots.c.table_group == group)
        .order_by(lake_snapshots.c.sequence.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return Snapshot(lake.folder(group), group, 0, {})
    return Snapshot(lake.folder(group), group, row.sequence, json.loads(row.versions))


def exists(connection: Connection, group: str, sequence: int) -> bool:
    named = (lake_snapshots.c.table_group == group) & (lake_snapshots.c.sequence == sequence)
    return connection.execute(select(lake_snapshots.c.sequence).where(named)).first() is not None


@dataclass(frozen=True)
class Snapshot:
    """The Delta version of each of the group's tables; `sequence` counts how often the group was named."""

    folder: Path
    group: str
    sequence: int
    versions: Mapping[str, int]
    opened: dict[str, "Files"] = field(default_factory=dict, compare=False, repr=False)

    def has(self, table: str) -> bool:
        """Whether the table holds any row."""
        return bool(self.files_of(table).by_day)

    def days(self, table: str) -> list[date]:
        """The days that have rows, in order."""
        return sorted(self.files_of(table).by_day)

    def files(self, table: str, days: Collection[date] | None = None) -> list[Path]:
        """Parquet files in the order of their rows, of the given days or of all; they lack the column of their day."""
        by_day = self.files_of(table).by_day
        chosen = sorted(by_day if days is None else by_day.keys() & set(days))
        return [self.folder / table / path for day in chosen for path in by_day[day]]

    def schema(self, table: str) -> pa.Schema:
        """The table's columns and that of their day; none if it has no version."""
        delta = self.files_of(table).table
        return pa.schema([]) if delta is None else pa.schema(delta.schema().to_arrow())

    def added(self, table: str) -> pa.Table:
        """A row for each file: `path`, `partition.lake_day`, `min.<column>` and `max.<column>` of what has bounds."""
        files = self.files_of(table)
        return pa.table({}) if files.table is None else files.added

    def paths(self, table: str, added: pa.Table) -> list[Path]:
        return [self.folder / table / path for path in added["path"].to_pylist()]

    def read(self, table: str, columns: Sequence[str] | None = None, days: Collection[date] | None = None) -> pa.Table:
        """Rows of the given days, or of all, in order; None of the table's columns if it has no row there."""
        tables = [read_file(path, columns) for path in self.files(table, days)]
        return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})

    def sql(self, table: str, days: Collection[date] | None = None) -> str | None:
        """SQL of DuckDB for those rows; None if there is no file."""
        files = self.files(table, days)
        return parquet_files(*files) if files else None

    def files_of(self, table: str) -> "Files":
        if table not in self.opened:
            version = self.versions.get(table)
            self.opened[table] = Files(None if version is None else open_version(self.folder / table, version))
        return self.opened[table]


def open_version(folder: Path, version: int) -> DeltaTable:
    try:
        return DeltaTable(folder, version=version)
    except DeltaError as error:
        raise LakeError(
            f"{folder}: the database names version {version}, which is not there; the data folder and its database are "
            "of different copies: bring back both of one"
        ) from error


def days_between(start: datetime, end: datetime) -> list[date]:
    """The days of `[start, end]`, both ends' own included."""
    return [start.date() + timedelta(days=number) for number in range((end.date() - start.date()).days + 1)]


def read_file(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Not by `read_table`, which imports pandas to look at a single file. A column that a file lacks is left out."""
    with pq.ParquetFile(path) as file:
        present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        return file.read(columns=present)


@dataclass(frozen=True)
class Files:
    """The files of a table at one version, none of a table that has no version."""

    table: DeltaTable | None

    @cached_property
    def added(self) -> pa.Table:
        """A row for each file: `path` within the table, `partition.lake_day`, `min.<column>`, `max.<column>`."""
        assert self.table is not None
        return pa.table(self.table.get_add_actions(flatten=True))

    @cached_property
    def by_day(self) -> dict[date, list[str]]:
        if self.table is None:
            return {}
        paths: dict[date, list[str]] = {}
        for path, day in zip(self.added["path"].to_pylist(), self.added[f"partition.{DAY}"].to_pylist(), strict=True):
            paths.setdefault(day, []).append(path)
        return {day: sorted(found) for day, found in paths.items()}
