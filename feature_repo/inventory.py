"""What lies in the lake, by group and table, for a person to read: what is kept, what it takes, and how it grows."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from infra.clock import from_microseconds
from infra.database import reading
from infra.database.schema import lake_pins, lake_snapshots
from infra.lake import BRONZE, LABELS, POPULATION, QUARANTINE, SILVER, Lake, Snapshot

GROWTH = {
    BRONZE: "with every row delivered, for ever",
    SILVER: "with every clean row that is new, for ever",
    QUARANTINE: "with every row that broke a rule, for ever",
    POPULATION: "with every row that could be asked about, for ever",
    LABELS: "with every row that an outcome came of, for ever",
    "views": "with every row that changed, for ever; all of them once a day",
}
NUMBERS = ("days", "rows", "files", "bytes", "with old versions", "versions")


def table_of(lake: Lake) -> Table:
    """A row for each table that was ever named: the newest version's contents, and what old versions add to it."""
    table = Table(title=f"Lake of {lake.root}")
    for name in ("group", "table"):
        table.add_column(name, overflow="fold")
    for name in NUMBERS:
        table.add_column(name, justify="right")
    for name in ("oldest version named", "pinned by", "grows"):
        table.add_column(name, overflow="fold")
    for group in groups(lake):
        with lake.open(group) as newest:
            for name in sorted(newest.versions):
                table.add_row(*cells(lake, newest, name))
    return table


def groups(lake: Lake) -> list[str]:
    column = lake_snapshots.c.table_group
    with reading(lake.database) as connection:
        return list(connection.execute(select(column).distinct().order_by(column)).scalars())


def cells(lake: Lake, newest: Snapshot, table: str) -> list[str | Text]:
    columns, pins = lake_snapshots.c, lake_pins.c
    with reading(lake.database) as connection:
        query = select(columns.versions, columns.named_at_wall).where(columns.table_group == newest.group)
        named = [(json.loads(row.versions).get(table), row.named_at_wall) for row in connection.execute(query)]
        of_group = select(pins.holder).where(pins.table_group == newest.group).order_by(pins.holder)
        holders = list(connection.execute(of_group).scalars())
    kept = [(version, moment) for version, moment in named if version is not None]
    added = newest.added(table)
    sizes = total(added, "num_records"), len(added), total(added, "size_bytes"), bytes_in(newest.folder / table)
    return [
        newest.group,
        table,
        *(f"{number:,}" for number in (len(newest.days(table)), *sizes, len({version for version, _ in kept}))),
        f"{from_microseconds(min(moment for _, moment in kept)):%Y-%m-%d %H:%M}",
        Text(", ".join(holders)),
        GROWTH[table.split("/")[0]],
    ]


def total(added: pa.Table, column: str) -> int:
    return int(pc.sum(added[column]).as_py()) if len(added) else 0


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
