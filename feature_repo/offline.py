"""Feast, opened on an installation: register what the contracts declare, join features to rows as of their time.

The one join: a training set is made by it, and parity checks what was served against it. Importing this module imports
Feast, which takes seconds: the micro-batch and the build do without it.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.contracts.base import Column, ColumnType, FeatureViewContract, UseCase
from feature_repo.definitions import declared
from feature_repo.errors import FeatureStoreError, ParityError
from feature_repo.feast_sdk import FeatureStore, apply_total_with_repo_instance
from feature_repo.feast_stores import ARROW_TYPES
from feature_repo.feast_stores import AS_OF as AS_OF
from infra.lake import Snapshot
from infra.settings import Settings
from infra.whole_file import whole_file

ROOT = Path(__file__).parents[1]
STORE_FILE = ROOT / "feature_repo" / "feature_store.yaml"
ROW = "flywheel_row"


def apply(settings: Settings) -> None:
    """What `feast -f feature_repo/feature_store.yaml apply` does, without its search of every folder for modules.

    The registry is made anew of the contracts and takes the other's place as a whole, whatever that had become.
    """
    settings.root.mkdir(parents=True, exist_ok=True)
    with whole_file(settings.feature_registry) as unfinished:
        unfinished.unlink(missing_ok=True)
        store = open_feature_store(settings, registry=unfinished)
        apply_total_with_repo_instance(
            store, store.project, store.registry, declared(store.project), skip_source_validation=True
        )


def open_feature_store(
    settings: Settings, gold: Mapping[str, Snapshot] | None = None, *, registry: Path | None = None
) -> FeatureStore:
    """Feast's SDK on this installation. `apply` must have run, unless another `registry` is to be made.

    Joins read the snapshots `gold`, by use case, which stay open for as long as the store is used.
    """
    settings.use_feature_store(registry)
    store = FeatureStore(repo_path=str(ROOT), fs_yaml_file=STORE_FILE)
    store.config.offline_store.snapshots = dict(gold or {})
    return store


def historical_features(store: FeatureStore, use_case: UseCase, rows: pa.Table) -> pa.Table:
    """The feature service's columns for each row, in its order, as they could be served at the row's `event_timestamp`.

    `rows` has the views' join keys and `event_timestamp`. Raises FeatureStoreError if a view was never registered,
    ParityError if Feast gives other rows than asked for.
    """
    check_registered(store, use_case)
    moments = pa.array(moments_asked(use_case, rows[AS_OF]), pa.timestamp("us", "UTC"))
    columns: dict[str, pa.ChunkedArray] = {}
    for view in use_case.views:
        columns |= view_features(store, view, rows.select(view.join_keys).append_column(AS_OF, moments))
    return pa.table(columns)


def check_registered(store: FeatureStore, use_case: UseCase) -> None:
    missing = sorted({view.name for view in use_case.views} - {view.name for view in store.list_feature_views()})
    if missing:
        raise FeatureStoreError(f"Feast does not know {', '.join(missing)}; run `python -m feature_repo apply` first")


def moments_asked(use_case: UseCase, times: pa.ChunkedArray) -> NDArray[np.int64]:
    """One time for all those between two rows of a view, in microseconds: what is served then does not change.

    It lies a microsecond behind the instant plus the lag, since Feast serves a row to the end of its time-to-live
    inclusive and the contract does not.
    """
    step, lag = (length // timedelta(microseconds=1) for length in (use_case.step, use_case.lag))
    uneven = [view.name for view in use_case.views if view.ttl % use_case.step]
    if uneven:
        raise ValueError(f"{use_case.name}: rows of {uneven} would expire between instants; make ttl whole steps")
    microseconds = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return np.asarray((microseconds - lag) // step * step + lag + 1)


def view_features(store: FeatureStore, view: FeatureViewContract, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """One view's columns. Many rows ask the same and Feast's join is slow: it is asked once for all of them."""
    first, place = distinct(rows)
    questions = rows.take(first).append_column(ROW, pa.array(np.arange(len(first))))
    features = [f"{view.name}:{column.name}" for column in view.columns]
    joined = store.get_historical_features(entity_df=questions.to_pandas(), features=features).to_arrow()
    # Feast returns rows in any order.
    joined = joined.take(pc.sort_indices(joined[ROW]))
    if not np.array_equal(joined[ROW].to_numpy(), np.arange(len(first))):
        raise ParityError(f"{view.name}: asked Feast for {len(first)} rows, got {joined.num_rows}")
    return {column.name: typed(column, joined[column.name]).take(pa.array(place)) for column in view.columns}


def distinct(rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each different row is first, and for every row which of those it equals."""
    codes = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        codes = codes * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    return first, place


def typed(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The contract's type; a NaN, which is how pandas passes a null on, is null again."""
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return values.cast(ARROW_TYPES[column.type], safe=column.type is not ColumnType.FLOAT32)
