"""What Feast may do in an installation: keep the registry and join the change logs. It makes and drops no table.

The online store's tables belong to the micro-batch. Feast's own provider drops those that its registry lists and a
contract does not, by the path that they had when they were registered: in a copied data folder, the original's.
Nothing in the registry names a folder; a change log is read from the snapshot of the lake that was opened for it.
"""

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any, NoReturn

import ibis
import pandas as pd
import pyarrow as pa
from pydantic import Field

from feature_repo.contracts import USE_CASES
from feature_repo.contracts.base import ColumnType, FeatureViewContract
from feature_repo.errors import FeatureStoreError, OnlineStoreError
from feature_repo.feast_sdk import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    FeatureView,
    FileSource,
    PassthroughProvider,
    RetrievalJob,
    get_historical_features_ibis,
)
from infra.lake import Snapshot, view_table
from infra.quoting import glob_literal

ARROW_TYPES = {ColumnType.FLOAT32: pa.float32(), ColumnType.INT64: pa.int64(), ColumnType.STRING: pa.string()}
AS_OF = "event_timestamp"
INSTANT = pa.timestamp("us", "UTC")


class RegistryProvider(PassthroughProvider):
    """Feast's `provider`, named in `feature_store.yaml`; `apply` and `teardown` change the registry alone."""

    def update_infra(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        """Nothing: the micro-batch makes its tables."""

    def teardown_infra(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        """Nothing: an online store is deleted by whoever deletes its file."""


class ChangeLogOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`snapshots` are what the change logs are read from, by use case; `offline.open_feature_store` sets them."""

    type: str = "feature_repo.feast_stores.ChangeLogOfflineStore"
    snapshots: dict[str, Any] = Field(default_factory=dict)


class ChangeLogOfflineStore(DuckDBOfflineStore):
    """Feast's DuckDB store over the change logs of named versions, for the point-in-time join alone.

    Feast cannot open a version of a table. It is given the files of the days that its questions can see: its own time
    to live before each day that is asked about, and that day.
    """

    @staticmethod
    def get_historical_features(
        config: Any,  # noqa: ANN401
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        *arguments: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> RetrievalJob:
        asked = {moment.date() for moment in entity_df[AS_OF].dt.floor("D").unique()}
        named["data_source_reader"] = partial(read_change_log, config.offline_store.snapshots, asked)
        named["data_source_writer"] = refuse_to_move
        return get_historical_features_ibis(config, feature_views, feature_refs, entity_df, *arguments, **named)

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


def read_change_log(
    snapshots: Mapping[str, Snapshot], asked: Collection[date], source: FileSource, _repo_path: str
) -> ibis.Table:
    """What a view's change log has for questions of these days; no column is made of a folder's name."""
    use_case, view = next(
        (use_case, view)
        for use_case in USE_CASES.values()
        for view in use_case.views
        if source_name(view) == source.name
    )
    if use_case.name not in snapshots:
        raise FeatureStoreError(
            f"{view.name}: no version of the lake was opened to read it from; see `offline.open_feature_store`"
        )
    files = snapshots[use_case.name].files(view_table(view.name), days_seen(asked, view.ttl))
    if not files:
        return ibis.memtable(empty_change_log(view))
    # Of a view that got a column meanwhile, older files lack it.
    return ibis.read_parquet([glob_literal(path) for path in files], hive_partitioning=False, union_by_name=True)


def days_seen(asked: Collection[date], ttl: timedelta) -> set[date]:
    """The days on which what is served on one of the days asked about became available."""
    before = -(-ttl // timedelta(days=1))
    return {day - timedelta(days=number) for day in asked for number in range(before + 1)}


def source_name(view: FeatureViewContract) -> str:
    return f"{view.name}_changes"


def empty_change_log(view: FeatureViewContract) -> pa.Table:
    keys = [(name, pa.string()) for name in view.join_keys]
    columns = [(column.name, ARROW_TYPES[column.type]) for column in view.columns]
    return pa.schema([*keys, ("instant", INSTANT), ("available_at", INSTANT), *columns]).empty_table()
