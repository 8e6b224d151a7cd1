"""What Feast may do in an installation: keep the registry and join the change logs. It makes and drops no table.

The online store's tables belong to the micro-batch. Feast's own provider drops those that its registry lists and a
contract does not, by the path that they had when they were registered: in a copied data folder, the original's.
Nothing in the registry names a folder; a change log is looked for in the data folder that is open.
"""

from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import ibis
import pyarrow as pa

from feature_repo.contracts import USE_CASES
from feature_repo.contracts.base import ColumnType, FeatureViewContract
from feature_repo.errors import OnlineStoreError
from feature_repo.feast_sdk import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    FileSource,
    PassthroughProvider,
    RetrievalJob,
    get_historical_features_ibis,
)
from feature_repo.lake import partitions
from infra.quoting import glob_literal

ARROW_TYPES = {ColumnType.FLOAT32: pa.float32(), ColumnType.INT64: pa.int64(), ColumnType.STRING: pa.string()}
INSTANT = pa.timestamp("us", "UTC")


class RegistryProvider(PassthroughProvider):
    """Feast's `provider`, named in `feature_store.yaml`; `apply` and `teardown` change the registry alone."""

    def update_infra(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        """Nothing: the micro-batch makes its tables."""

    def teardown_infra(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        """Nothing: an online store is deleted by whoever deletes its file."""


class ChangeLogOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`data_dir`: the folder that the change logs' paths are relative to."""

    type: str = "feature_repo.feast_stores.ChangeLogOfflineStore"
    data_dir: Path


class ChangeLogOfflineStore(DuckDBOfflineStore):
    """Feast's DuckDB store over the change logs of one data folder, for the point-in-time join alone."""

    @staticmethod
    def get_historical_features(config: Any, *arguments: Any, **named: Any) -> RetrievalJob:  # noqa: ANN401
        named["data_source_reader"] = partial(read_change_log, config.offline_store.data_dir)
        named["data_source_writer"] = refuse_to_move
        return get_historical_features_ibis(config, *arguments, **named)

    @staticmethod
    def pull_latest_from_table_or_query(*_arguments: Any, **_named: Any) -> RetrievalJob:  # noqa: ANN401
        return refuse_to_move()

    @staticmethod
    def pull_all_from_table_or_query(*_arguments: Any, **_named: Any) -> RetrievalJob:  # noqa: ANN401
        return refuse_to_move()


def refuse_to_move(*_arguments: Any, **_named: Any) -> NoReturn:  # noqa: ANN401
    raise OnlineStoreError(
        "Feast does not move features here; run `python -m feature_repo materialize USE_CASE`, which writes the store"
    )


def read_change_log(data_dir: Path, source: FileSource, _repo_path: str) -> ibis.Table:
    """A view's change log, of whose columns none is made of a folder's name; one without any row yet has no file."""
    files = partitions(data_dir / Path(source.path).parents[1])
    if files:
        return ibis.read_parquet([glob_literal(path) for path in files], hive_partitioning=False)
    view = next(view for use_case in USE_CASES.values() for view in use_case.views if source_name(view) == source.name)
    return ibis.memtable(empty_change_log(view))


def source_name(view: FeatureViewContract) -> str:
    return f"{view.name}_changes"


def empty_change_log(view: FeatureViewContract) -> pa.Table:
    keys = [(name, pa.string()) for name in view.join_keys]
    columns = [(column.name, ARROW_TYPES[column.type]) for column in view.columns]
    return pa.schema([*keys, ("instant", INSTANT), ("available_at", INSTANT), *columns]).empty_table()
