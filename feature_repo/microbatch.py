"""One step of the speed layer: read what was delivered, keep what is clean, compute the newest instant, find changes.

It runs the same SQL as the offline build, over the same rows, for one instant: the newest rows of each source stay in
an in-memory DuckDB. The checks are the same declarations that Great Expectations runs on an interval.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import landing
from feature_repo.contracts.base import DataInterval, FeatureViewContract
from feature_repo.contracts.folders import landing as landing_folder
from feature_repo.errors import DeliveryError
from feature_repo.expectations import Severity
from feature_repo.known_keys import KnownKeys, keys_of
from feature_repo.online_store import Change, Key, Row, Values, expired
from feature_repo.rules_sql import broken
from feature_repo.sources import DELIVERED_AT, Source
from feature_repo.transforms import (
    Prepared,
    Transforms,
    known_from,
    load_source,
    open_preparing_engine,
    without_time_zone,
)
from feature_repo.validation import open_references, tables_of
from infra.lake import Lake
from infra.logs import logger

log = logger(__name__)

Contents = Mapping[str, Mapping[Key, Row]]


class Delivered:
    """What a statement reads that was planned once: the rows of whichever delivery is held now.

    DuckDB asks for the stream anew whenever the statement runs; registering every delivery's own table would cost
    planning anew, which is several times the work on its few rows.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


class MicroBatch:
    """The newest rows of every source, and what they mean at an instant."""

    def __init__(self, transforms: Transforms, sources: Sequence[Source], lake: Lake) -> None:
        self.transforms, self.sources, self.lake = transforms, sources, lake
        self.connection = open_preparing_engine()
        self.taken_files: dict[str, set[str]] = {source.name: set() for source in sources}
        self.known_keys: dict[str, KnownKeys] = {}
        self.delivered: dict[str, Delivered] = {}
        self.pruned_on: datetime | None = None
        self.prepared: Prepared | None = None
        for source in sources:
            nothing = source.schema.empty_table()
            load_source(self.connection, source.name, nothing, transforms.contract.step)
            self.delivered[source.name] = Delivered(without_time_zone(nothing))
            self.connection.register(tables_of(source).delivered, self.delivered[source.name])
            open_references(self.connection, source, transforms.contract.owner_by_source[source.name], lake.root)
        self.prepare_to_take()

    def prepare_to_take(self) -> None:
        """Plan how rows are taken in. DuckDB plans it anew at every use once a table was made since."""
        for source in self.sources:
            insert = clean_rows(source, self.transforms.contract.step)
            self.connection.execute(f"PREPARE take_{source.name} AS {insert}")

    def take_deliveries(self, before: datetime) -> None:
        """Take in every delivery named at or before the instant that was not taken yet; prune what is too old."""
        oldest = before - self.transforms.history - self.transforms.contract.step
        for source in self.sources:
            read_from = min(oldest, before - source.keys_kept)
            if source.name not in self.known_keys:
                self.known_keys[source.name] = KnownKeys(source, self.lake, read_from)
            for path in self.new_files(source, read_from, before):
                try:
                    self.take(source, path, DataInterval(start=read_from, end=before))
                except DeliveryError as error:
                    log.error("delivery_refused", source=source.name, delivery=path.name, reason=str(error))
                    continue
                self.taken_files[source.name].add(path.name)
        self.prune(oldest, before)

    def new_files(self, source: Source, oldest: datetime, before: datetime) -> list[Path]:
        folder = landing_folder(self.lake.root, source.name)
        if not folder.exists():
            return []
        first, last = (f"{moment.strftime(landing.NAME_FORMAT)}.parquet" for moment in (oldest, before))
        names = {name for name in os.listdir(folder) if first < name <= last}  # noqa: PTH208  names of thousands of files
        self.taken_files[source.name] &= names
        return [folder / name for name in sorted(names - self.taken_files[source.name]) if name.endswith(".parquet")]

    def take(self, source: Source, path: Path, interval: DataInterval) -> None:
        """Add the delivery's rows that break no rule of severity fail and whose key is new."""
        rows, known = landing.read_delivery(source, path, interval), self.known_keys[source.name]
        for distinct in rounds(source, without_time_zone(rows.select(source.columns))):
            is_new = known.are_new(distinct)
            self.delivered[source.name].rows = distinct.filter(pa.array(is_new, pa.bool_()))
            added = self.connection.execute(f"EXECUTE take_{source.name}").to_arrow_table()
            known.add(added)

    def prune(self, oldest: datetime, before: datetime) -> None:
        """Once a day: a table without the rows that no instant from now on can need."""
        if self.pruned_on is not None and before - self.pruned_on < timedelta(days=1):
            return
        self.pruned_on = before
        for source in self.sources:
            self.known_keys[source.name].prune(before)
            cut = oldest.replace(tzinfo=None).isoformat(sep=" ")
            self.connection.execute(
                f"CREATE OR REPLACE TABLE {source.name} AS SELECT * FROM {source.name} "
                f"WHERE {DELIVERED_AT} >= TIMESTAMP '{cut}' ORDER BY {DELIVERED_AT}"
            )
        self.prepared = None

    def features_at(self, instant: datetime) -> dict[str, dict[Key, Values]]:
        if self.prepared is None:
            self.prepared = Prepared(self.connection, self.transforms, instant)
            self.prepare_to_take()
        rows_by_view = self.prepared.rows_at(instant)
        contents: dict[str, dict[Key, Values]] = {}
        for view in self.transforms.contract.views:
            first = 1 + len(view.join_keys)
            keyed = {row[1:first]: row[first:] for row in rows_by_view[view.name]}
            contents[view.name] = cast(dict[Key, Values], keyed)
        return contents


def rounds(source: Source, rows: pa.Table) -> Iterator[pa.Table]:
    """The rows in parts that have no key twice: of a key, the one delivered first is in the first.

    A part is checked before the next is looked at, so that a bad row does not keep out a good one of its key.
    """
    if len(set(keys_of(source, rows))) == rows.num_rows:
        yield rows
        return
    rows = rows.sort_by([(name, "ascending") for name in (DELIVERED_AT, *source.types)])
    seen: Counter[tuple[object, ...]] = Counter()
    numbers = []
    for key in keys_of(source, rows):
        seen[key] += 1
        numbers.append(seen[key])
    for number in range(1, max(numbers) + 1):
        yield rows.filter(pc.equal(pa.array(numbers), number))


def clean_rows(source: Source, step: timedelta) -> str:
    """SQL that adds the good rows of what was delivered to the source's table and returns their keys."""
    bad = " OR ".join(f"({broken(source, rule)})" for rule in source.expectations if rule.severity is Severity.FAIL)
    floats = ", ".join(f"nullif({name}, 'NaN'::DOUBLE) AS {name}" for name in source.float_columns)
    return f"""
        INSERT INTO {source.name} SELECT {", ".join(source.columns)}, {known_from(step)}
        FROM (SELECT * {f"REPLACE ({floats})" if floats else ""} FROM {tables_of(source).delivered})
        WHERE ({bad or "false"}) IS NOT TRUE
        RETURNING {", ".join(dict.fromkeys((*source.key, source.time, DELIVERED_AT)))}"""


def values_by_key(view: FeatureViewContract, rows: pa.Table) -> dict[Key, Values]:
    keys = zip(*(rows[name].to_pylist() for name in view.join_keys), strict=True)
    values = zip(*(rows[column.name].to_pylist() for column in view.columns), strict=True)
    return dict(zip(keys, values, strict=True))


def find_changes(
    transforms: Transforms, instant: datetime, held: Contents, current: Mapping[str, Mapping[Key, Values]]
) -> dict[str, Change]:
    """What turns the held rows into the current ones: the online counterpart of the gold change log."""
    contract = transforms.contract
    renewed = instant.date() != (instant - contract.step).date()
    available_at = instant + contract.lag
    changes = {}
    for view in contract.views:
        before, now = held[view.name], current[view.name]
        old = expired(before, available_at, view.ttl)
        written = {
            key: Row(values, available_at)
            for key, values in now.items()
            if renewed or key not in before or before[key].values != values
        }
        gone = (before.keys() - now.keys()) | (old - written.keys())
        kept = {} if renewed else {key: before[key].values for key in written if key in before and key not in old}
        changes[view.name] = Change(written, frozenset(gone), replaced=kept)
    return changes


def after_changes(held: Contents, changes: Mapping[str, Change]) -> dict[str, dict[Key, Row]]:
    """The rows that the store holds once the changes are published."""
    return {
        name: {key: row for key, row in {**held[name], **change.written}.items() if key not in change.deleted}
        for name, change in changes.items()
    }
