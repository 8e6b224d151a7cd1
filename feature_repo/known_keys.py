"""Which rows of a delivery are new: the keys that the micro-batch has taken in, and silver for those it has forgotten.

A key is kept by the later of its row's own time and its delivery, for as long as the source declares. So of rows whose
own time is that young all keys are here; of an older row, silver says whether one of its key was delivered before it.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime

import pyarrow as pa

from feature_repo.silver import rows_ahead, rows_of_keys
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.transforms import open_engine, with_time_zone
from infra.clock import to_microseconds
from infra.lake import Lake, source_group

Key = tuple[object, ...]


class KnownKeys:
    """Of one source, for a process that reads every delivery from `read_from` on, in order."""

    def __init__(self, source: Source, lake: Lake, read_from: datetime) -> None:
        self.source, self.lake = source, lake
        self.kept_by: dict[Key, int] = {}
        self.complete_from = to_microseconds(read_from)  # of rows with such an own time all keys are here
        with lake.open(source_group(source.name)) as held:
            ahead = rows_ahead(source, held, read_from)
        if ahead is not None:
            self.add(open_engine(threads=1).execute(f"FROM {ahead}").to_arrow_table())

    def add(self, rows: pa.Table) -> None:
        times = (microseconds(rows, name) for name in (self.source.time, DELIVERED_AT))
        self.kept_by.update(zip(keys_of(self.source, rows), map(max, *times), strict=True))

    def prune(self, before: datetime) -> None:
        oldest = to_microseconds(before - self.source.keys_kept)
        self.kept_by = {key: moment for key, moment in self.kept_by.items() if moment >= oldest}
        self.complete_from = max(self.complete_from, oldest)

    def are_new(self, rows: pa.Table) -> list[bool]:
        """For each row, whether none of its key was delivered before it."""
        keys, delivered = [*keys_of(self.source, rows)], microseconds(rows, DELIVERED_AT)
        is_old = [time is not None and time < self.complete_from for time in microseconds(rows, self.source.time)]
        forgotten = [old and key not in self.kept_by for old, key in zip(is_old, keys, strict=True)]
        first = self.first_delivered(rows.filter(pa.array(forgotten, pa.bool_()))) if any(forgotten) else {}
        return [
            key not in self.kept_by and first.get(key, moment) >= moment
            for key, moment in zip(keys, delivered, strict=True)
        ]

    def first_delivered(self, rows: pa.Table) -> Mapping[Key, int]:
        """When silver's row of each of these rows' keys was delivered."""
        connection = open_engine(threads=1)
        connection.register("wanted", with_time_zone(rows))
        with self.lake.open(source_group(self.source.name)) as held:
            found = rows_of_keys(connection, self.source, held, "wanted", newest_from=date.max)
            if found is None:
                return {}
            in_silver = connection.execute(f"FROM {found}").to_arrow_table()
        return dict(zip(keys_of(self.source, in_silver), microseconds(in_silver, DELIVERED_AT), strict=True))


def keys_of(source: Source, rows: pa.Table) -> Iterator[Key]:
    """Each row's key, times in microseconds: making a `datetime` of each costs several times as much."""
    columns = (rows[name] for name in source.key)
    plain = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in columns)
    return zip(*(column.to_pylist() for column in plain), strict=True)


def microseconds(rows: pa.Table, name: str) -> list[int]:
    times: list[int] = rows[name].cast(pa.int64()).to_pylist()
    return times
