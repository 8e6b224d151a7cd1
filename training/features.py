"""The vector of each row as it would have been logged: the point-in-time join, then the request-time features.

The join is the one that parity checks answers with, so that what is checked is what is trained on. It and its errors
are all that training imports of another layer.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_repo.contracts.base import UseCase, Value
from feature_repo.errors import FeatureRepoError
from feature_repo.offline import AS_OF, historical_features, typed
from training.errors import TrainingError

if TYPE_CHECKING:
    from feast import FeatureStore


class RowOfTable(Mapping[str, Value]):
    """One row, its columns turned into Python values only when asked for: few of many are."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.index = table, 0
        self.lists: dict[str, list[Value]] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self.lists:
            self.lists[name] = python_values(self.table[name])
        return self.lists[name][self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_columns)


def python_values(column: pa.ChunkedArray) -> list[Value]:
    """What `to_pylist` gives, ten times sooner for timestamps."""
    if not pa.types.is_timestamp(column.type) or column.null_count:
        values: list[Value] = column.to_pylist()
        return values
    naive = column.cast(pa.timestamp("us", "UTC")).to_numpy().astype("datetime64[us]").tolist()
    return [moment.replace(tzinfo=UTC) for moment in naive]


def add_vectors(store: "FeatureStore", use_case: UseCase, population: pa.Table) -> pa.Table:
    """`population` with the columns of `use_case.vector` behind its own; same rows, same order.

    Raises TrainingError for what the join raises.
    """
    try:
        views = historical_features(store, use_case, population.append_column(AS_OF, population["prediction_time"]))
    except FeatureRepoError as error:
        raise TrainingError(str(error)) from error
    made = request_time_columns(use_case, population, views)
    kept = {
        name if name in ("prediction_time", "label") else f"request__{name}": population[name]
        for name in population.column_names
    }
    return pa.table({**kept, **{column.name: views[column.name] for column in use_case.view_columns}, **made})


def request_time_columns(use_case: UseCase, population: pa.Table, views: pa.Table) -> dict[str, pa.ChunkedArray]:
    """What the contract computes for one request at a time, for every row: it has no second definition."""
    request, features = RowOfTable(population), RowOfTable(views)
    made: list[dict[str, Value]] = []
    for index in range(len(population)):
        request.index = features.index = index
        made.append(use_case.request_features(request, features))
    return {
        column.name: typed(column, pa.chunked_array([[values[column.name] for values in made]]))
        for column in use_case.request_columns
    }
