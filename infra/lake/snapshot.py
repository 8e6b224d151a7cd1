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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection, delete, insert, select

from infra.clock import SystemClock, to_microseconds
from infra.database import locked, reading, upsert, writing
from infra.database.schema import lake_pins, lake_snapshots
from infra.lake.errors import LakeError
from infra.quoting import parquet_files

DAY = "lake_day"
DAY_OF_FILE = f"partition.{DAY}"
NO_FILES = pa.table({"path": pa.array([], pa.string()), DAY_OF_FILE: pa.array([], pa.date32())})
PRUNED_WITHIN = timedelta(minutes=1)
CUT_BY = 1000  # microseconds at most, the largest time that the library writes of a file
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

    @contextmanager
    def open(self, group: str) -> Iterator["Snapshot"]:
        """The newest snapshot; its files stay until the block ends. One without tables if nothing was ever named."""
        while True:
            snapshot = self.newest(group)
            # Whoever prunes has the lock for a moment; then there is a newer one.
            with locked(self.database, reader_lock(group, snapshot.sequence), shared=True, wait=PRUNED_WITHIN):
                if self.newest(group).sequence == snapshot.sequence:  # it cannot have been pruned before it was locked
                    yield snapshot
                    return

    def newest(self, group: str) -> "Snapshot":
        """Its files may go at any time, unless the group's lock is held."""
        with reading(self.database) as connection:
            query = select(lake_snapshots).where(lake_snapshots.c.table_group == group)
            row = connection.execute(query.order_by(lake_snapshots.c.sequence.desc()).limit(1)).one_or_none()
        folder = self.root.absolute() / "lake" / group
        return (
            Snapshot(folder, group, row.sequence, json.loads(row.versions)) if row else Snapshot(folder, group, 0, {})
        )

    def pin(self, snapshot: "Snapshot", holder: str) -> None:
        """Have an open snapshot stay for as long as `holder` is kept, which was made of it."""
        row = {"holder": holder, "table_group": snapshot.group, "sequence": snapshot.sequence}
        with writing(self.database) as connection:
            upsert(connection, lake_pins, row)

    def holders(self, kind: str) -> list[str]:
        """Whoever has pinned a snapshot, of those whose name begins with `<kind>/`."""
        query = select(lake_pins.c.holder).where(lake_pins.c.holder.startswith(f"{kind}/", autoescape=True)).distinct()
        with reading(self.database) as connection:
            return [*connection.execute(query).scalars()]

    def unpin(self, holder: str) -> None:
        with writing(self.database) as connection:
            connection.execute(delete(lake_pins).where(lake_pins.c.holder == holder))


def reader_lock(group: str, sequence: int) -> str:
    """Whoever reads that snapshot shares it."""
    return f"reads/{group}/{sequence}"


def name_versions(connection: Connection, group: str, sequence: int, versions: Mapping[str, int]) -> None:
    """The one step that readers can see. Fails if another has named a snapshot of that number."""
    connection.execute(
        insert(lake_snapshots).values(
            table_group=group,
            sequence=sequence,
            versions=json.dumps(versions, sort_keys=True),
            named_at_wall=to_microseconds(SystemClock().now()),
        )
    )


@dataclass(frozen=True)
class Snapshot:
    """The Delta version of each of the group's tables; `sequence` counts how often the group was named."""

    folder: Path
    group: str
    sequence: int
    versions: Mapping[str, int]
    open_by_table: dict[str, DeltaTable] = field(default_factory=dict, compare=False, repr=False)
    added_by_table: dict[str, pa.Table] = field(default_factory=dict, compare=False, repr=False)

    def table(self, name: str) -> DeltaTable | None:
        """None if it has no version. Raises LakeError if its version is not in the folder."""
        if name in self.versions and name not in self.open_by_table:
            self.open_by_table[name] = self.open_named(name)
        return self.open_by_table.get(name)

    def hand_over(self, name: str) -> DeltaTable | None:
        """The table for a writer, which moves it on; it is opened again if it is asked for again."""
        table = self.table(name)
        self.open_by_table.pop(name, None)
        return table

    def open_named(self, name: str) -> DeltaTable:
        try:
            return DeltaTable(self.folder / name, version=self.versions[name])
        except DeltaError as error:
            raise LakeError(
                f"{self.folder / name}: the database names version {self.versions[name]}, which is not there; the data "
                "folder and its database are of different copies: bring back both of one"
            ) from error

    def added(self, table: str) -> pa.Table:
        """A row for each file, by day: `path`, `partition.lake_day`, `min.<column>`, `max.<column>` where bounded."""
        if table not in self.added_by_table:
            delta = self.table(table)
            found = NO_FILES if delta is None else pa.table(delta.get_add_actions(flatten=True))
            in_order = found.sort_by([(DAY_OF_FILE, "ascending"), ("path", "ascending")]) if len(found) else NO_FILES
            self.added_by_table[table] = in_order
        return self.added_by_table[table]

    def touching(self, table: str, column: str, first: datetime, last: datetime) -> pa.Table:
        """Of `added`, the files that may hold a row whose `column`, a time, is in `[first, last]`."""
        lowest, highest = self.bounds(table, column)
        touches = (lowest <= to_microseconds(last)) & (highest >= to_microseconds(first))
        return self.added(table).filter(pa.array(touches, pa.bool_()))

    def bounds(self, table: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each file of `added`: no row's `column`, a time, is earlier or later, in microseconds since 1970 in UTC.

        A file that does not say may hold any time.
        """
        added, unknown = self.added(table), np.iinfo(np.int64)
        lowest, highest = (
            pc.fill_null(added[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64()), pa.scalar(default, pa.int64()))
            if (name := f"{bound}.{column}") in added.column_names
            else np.full(added.num_rows, default)
            for bound, default in (("min", unknown.min), ("max", unknown.max - CUT_BY))
        )
        return np.asarray(lowest, np.int64), np.asarray(highest, np.int64) + CUT_BY

    def days(self, table: str) -> list[date]:
        """The days that have rows, in order."""
        days: list[date] = self.added(table)[DAY_OF_FILE].unique().to_pylist()
        return days

    def files(self, table: str, days: Collection[date] | None = None) -> list[Path]:
        """Parquet files in the order of their rows, of the given days or of all; they lack the column of their day."""
        added = self.added(table)
        if days is not None:
            added = added.filter(pc.is_in(added[DAY_OF_FILE], pa.array(days, pa.date32())))
        return self.paths(table, added)

    def paths(self, table: str, added: pa.Table) -> list[Path]:
        return [self.folder / table / path for path in added["path"].to_pylist()]

    def read(self, table: str, columns: Sequence[str] | None = None, days: Collection[date] | None = None) -> pa.Table:
        """Rows of the given days, or of all, in order; a table without a column if there is none."""
        tables = [read_file(path, columns) for path in self.files(table, days)]
        return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})

    def sql(self, table: str, days: Collection[date] | None = None) -> str | None:
        """SQL of DuckDB for those rows; None if there is no file."""
        files = self.files(table, days)
        return parquet_files(*files) if files else None


def days_between(start: datetime, end: datetime) -> list[date]:
    """The days of `[start, end]`, both ends' own included."""
    return [start.date() + timedelta(days=number) for number in range((end.date() - start.date()).days + 1)]


def read_file(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Not by `read_table`, which imports pandas to look at a single file. A column that a file lacks is left out."""
    with pq.ParquetFile(path) as file:
        present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        return file.read(columns=present)
