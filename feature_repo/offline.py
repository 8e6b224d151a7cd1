"""Feast, opened on an installation: register what the contracts declare, join features to rows as of their time.

Importing this module imports Feast, which takes seconds: the micro-batch and the build do without it.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore
from feast.repo_config import load_repo_config
from feast.repo_operations import apply_total

from feature_repo.contracts.base import Column, ColumnType, UseCase
from feature_repo.errors import ParityError
from infra.settings import Settings

ROOT = Path(__file__).parents[1]
STORE_FILE = ROOT / "feature_repo" / "feature_store.yaml"
AS_OF, ROW = "event_timestamp", "flywheel_row"
ARROW_TYPES = {ColumnType.FLOAT32: pa.float32(), ColumnType.INT64: pa.int64(), ColumnType.STRING: pa.string()}


def apply(settings: Settings) -> None:
    """What `feast -f feature_repo/feature_store.yaml apply` does, for this installation."""
    settings.use_feature_store()
    settings.root.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    apply_total(load_repo_config(ROOT, STORE_FILE), ROOT, skip_source_validation=True)


def open_feature_store(settings: Settings) -> FeatureStore:
    """Feast's SDK on this installation. `apply` must have run."""
    settings.use_feature_store()
    return FeatureStore(repo_path=str(ROOT), fs_yaml_file=STORE_FILE)


def historical_features(store: FeatureStore, use_case: UseCase, rows: pa.Table) -> pa.Table:
    """The feature service's columns for each row, in its order, as they could be served at the row's `event_timestamp`.

    `rows` has the views' join keys and `event_timestamp`. Feast returns rows in any order, so each carries its number.
    """
    keys = sorted({key for view in use_case.views for key in view.join_keys})
    entities = rows.select([*keys, AS_OF]).append_column(ROW, pa.array(np.arange(rows.num_rows)))
    service = store.get_feature_service(use_case.feature_service)
    joined = store.get_historical_features(entity_df=entities.to_pandas(), features=service).to_arrow()
    joined = joined.take(pc.sort_indices(joined[ROW]))
    if not np.array_equal(joined[ROW].to_numpy(), np.arange(rows.num_rows)):
        raise ParityError(f"{use_case.name}: asked Feast for {rows.num_rows} rows, got {joined.num_rows}")
    return pa.table({column.name: typed(column, joined[column.name]) for column in use_case.view_columns})


def typed(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The contract's type; a NaN, which is how pandas passes a null on, is null again."""
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return values.cast(ARROW_TYPES[column.type], safe=column.type is not ColumnType.FLOAT32)
