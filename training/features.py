"""The vector of each row as it would have been logged: Feast's point-in-time join, then the request-time features.

Feast's DuckDB store is used because its default one loses rows without a match in silence; the count is checked all the
same. Absent is null here, whatever a store hands back.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.contracts.base import Column, ColumnType, UseCase, Value
from training.errors import TrainingError

if TYPE_CHECKING:
    from feast import FeatureStore

ROW = "flywheel_row"
ARROW_TYPES = {
    ColumnType.FLOAT32: pa.float32(),
    ColumnType.INT64: pa.int64(),
    ColumnType.STRING: pa.string(),
}


class RowOfTable(Mapping[str, Value]):
    """One row, its columns turned into Python values only when asked for: few of many are."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.index = table, 0
        self.lists: dict[str, list[Value]] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self.lists:
            self.lists[name] = self.table[name].to_pylist()
        return self.lists[name][self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_columns)


def add_vectors(store: "FeatureStore", use_case: UseCase, population: pa.Table) -> pa.Table:
    """`population` with the columns of `use_case.vector` behind its own; same rows, same order."""
    views = historical_features(store, use_case, population)
    request, features = RowOfTable(population), RowOfTable(views)
    made: dict[str, list[Value]] = {column.name: [] for column in use_case.request_columns}
    for index in range(len(population)):
        request.index = features.index = index
        values = use_case.request_features(request, features)
        for name, filled in made.items():
            filled.append(values[name])
    vector = {column.name: views[column.name] for column in use_case.view_columns}
    vector |= {column.name: typed(column, made[column.name]) for column in use_case.request_columns}
    kept = {
        name if name in ("prediction_time", "label") else f"request__{name}": population[name]
        for name in population.column_names
    }
    return pa.table({**kept, **vector})


def historical_features(store: "FeatureStore", use_case: UseCase, population: pa.Table) -> pa.Table:
    """Columns of the feature service. Raises TrainingError if Feast gives other rows than it was asked for."""
    keys = sorted({key for view in use_case.views for key in view.join_keys})
    entities = population.select(keys).append_column("event_timestamp", population["prediction_time"])
    entities = entities.append_column(ROW, pa.array(np.arange(len(population))))
    joined = store.get_historical_features(
        entity_df=entities.to_pandas(), features=store.get_feature_service(use_case.feature_service)
    ).to_arrow()
    joined = joined.take(pc.sort_indices(joined[ROW]))
    if not np.array_equal(joined[ROW].to_numpy(), np.arange(len(population))):
        raise TrainingError(
            f"{use_case.name}: asked Feast for {len(population)} rows, got {len(joined)}; "
            "the offline store must be DuckDB and the feature views must have one row per key and time"
        )
    return pa.table({column.name: typed(column, joined[column.name]) for column in use_case.view_columns})


def typed(column: Column, values: pa.ChunkedArray | list[Value]) -> pa.ChunkedArray:
    """The contract's type; NaN becomes null, since absence has one spelling."""
    array = pa.chunked_array([pa.array(values)]) if isinstance(values, list) else values
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    return array.cast(ARROW_TYPES[column.type], safe=column.type is not ColumnType.FLOAT32)
