"""One step of the speed layer: read what was delivered, keep what is clean, compute the newest instant, find changes.

It runs the same SQL as the offline build, over the same rows, for one instant: the newest rows of each source stay in
an in-memory DuckDB. The checks are the same declarations that Great Expectations runs on an interval.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from feature_repo import landing
from feature_repo.contracts import lake
from feature_repo.contracts.base import DataInterval, FeatureViewContract
from feature_repo.errors import DeliveryError
from feature_repo.expectations import Severity
from feature_repo.online_store import Change, Key, Row, Values, expired
from feature_repo.rules_sql import broken
from feature_repo.sources import DELIVERED_AT, Source, SourceType
from feature_repo.transforms import Transforms, compute, known_from, load_source, open_engine, without_time_zone
from feature_repo.validation import open_references
from infra.logs import logger

log = logger(__name__)

UTC_MICROSECONDS = pa.timestamp("us", "UTC")

Contents = Mapping[str, Mapping[Key, Row]]


class MicroBatch:
    """The newest rows of every source, and what they mean at an instant."""

    def __init__(self, transforms: Transforms, sources: Sequence[Source], data_dir: Path) -> None:
        self.transforms, self.sources, self.data_dir = transforms, sources, data_dir
        self.connection = open_engine(threads=1)
        self.taken_files: dict[str, set[str]] = {source.name: set() for source in sources}
        self.known_keys: dict[str, set[tuple[object, ...]]] = {source.name: set() for source in sources}
        self.pruned_on: datetime | None = None
        for source in sources:
            load_source(self.connection, source.name, source.schema.empty_table(), transforms.contract.step)
            open_references(self.connection, source, data_dir)

    def take_deliveries(self, before: datetime) -> None:
        """Take in every delivery named at or before the instant that was not taken yet; prune what is too old."""
        oldest = before - self.transforms.history - self.transforms.contract.step
        for source in self.sources:
            for path in self.new_files(source, oldest, before):
                try:
                    self.take(source, path, DataInterval(start=oldest, end=before))
                except DeliveryError as error:
                    log.error("delivery_refused", source=source.name, delivery=path.name, reason=str(error))
                    continue
                self.taken_files[source.name].add(path.name)
        self.prune(oldest, before)

    def new_files(self, source: Source, oldest: datetime, before: datetime) -> list[Path]:
        folder = lake.landing(self.data_dir, source.name)
        if not folder.exists():
            return []
        first, last = (f"{moment.strftime(landing.NAME_FORMAT)}.parquet" for moment in (oldest, before))
        names = {entry.name for entry in os.scandir(folder) if first < entry.name <= last}
        return [folder / name for name in sorted(names - self.taken_files[source.name]) if name.endswith(".parquet")]

    def take(self, source: Source, path: Path, interval: DataInterval) -> None:
        """Add the delivery's rows that break no rule of severity fail and whose key is new."""
        rows, known = landing.read_delivery(source, path, interval), self.known_keys[source.name]
        keys = zip(*(rows[name].to_pylist() for name in source.key), strict=True)
        self.connection.register("delivered", without_time_zone(rows.filter([key not in known for key in keys])))
        added = self.connection.execute(clean_rows(source, self.transforms.contract.step)).to_arrow_table()
        self.connection.unregister("delivered")
        times = {name for name, type_ in source.types.items() if type_ is SourceType.TIMESTAMP}
        columns = (added[name].cast(UTC_MICROSECONDS) if name in times else added[name] for name in source.key)
        known.update(zip(*(column.to_pylist() for column in columns), strict=True))

    def prune(self, oldest: datetime, before: datetime) -> None:
        """Once a day: a table without the rows that no instant from now on can need."""
        if self.pruned_on is not None and before - self.pruned_on < timedelta(days=1):
            return
        self.pruned_on = before
        for source in self.sources:
            cut = oldest.replace(tzinfo=None).isoformat(sep=" ")
            self.connection.execute(
                f"CREATE OR REPLACE TABLE {source.name} AS SELECT * FROM {source.name} "
                f"WHERE {DELIVERED_AT} >= TIMESTAMP '{cut}' ORDER BY {DELIVERED_AT}"
            )

    def features_at(self, instant: datetime) -> dict[str, dict[Key, Values]]:
        rows_by_view = compute(self.connection, self.transforms, [instant])
        return {view.name: values_by_key(view, rows_by_view[view.name]) for view in self.transforms.contract.views}


def clean_rows(source: Source, step: timedelta) -> str:
    """SQL that adds the good rows of `delivered` to the source's table and returns their keys."""
    rules = [broken(rule) for rule in source.expectations if rule.severity is Severity.FAIL]
    bad = " OR ".join(f"coalesce({rule}, false)" for rule in rules) or "false"
    floats = ", ".join(f"nullif({name}, 'NaN'::DOUBLE) AS {name}" for name in source.float_columns)
    key, order = ", ".join(source.key), ", ".join((DELIVERED_AT, *source.types))
    return f"""
        INSERT INTO {source.name} SELECT {", ".join(source.columns)}, {known_from(step)}
        FROM (SELECT * {f"REPLACE ({floats})" if floats else ""} FROM delivered) AS delivered
        WHERE NOT ({bad})
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1
        ORDER BY {DELIVERED_AT}, {key}
        RETURNING {key}"""


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
        changes[view.name] = Change(written, frozenset(gone))
    return changes


def after_changes(held: Contents, changes: Mapping[str, Change]) -> dict[str, dict[Key, Row]]:
    """The rows that the store holds once the changes are published."""
    return {
        name: {key: row for key, row in {**held[name], **change.written}.items() if key not in change.deleted}
        for name, change in changes.items()
    }
