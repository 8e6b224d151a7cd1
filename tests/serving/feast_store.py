"""A real Feast repository of a use case's contract, and its online store written by Feast's own SDK."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Int64, String

from feature_repo.contracts.base import ColumnType, FeatureViewContract, UseCase
from infra.clock import to_microseconds
from serving.online_features import PROJECT

TYPES = {ColumnType.FLOAT32: Float32, ColumnType.INT64: Int64, ColumnType.STRING: String}
WATERMARK = (
    "CREATE TABLE IF NOT EXISTS flywheel_watermark "
    "(use_case TEXT PRIMARY KEY, instant INTEGER, published_at_wall INTEGER)"
)


class FeastStore:
    """The store, and the features that Feast's SDK reads from it."""

    def __init__(self, use_case: UseCase, folder: Path) -> None:
        self.use_case = use_case
        self.path = folder / "online_store.db"
        self.feast = FeatureStore(
            config=RepoConfig(
                project=PROJECT,
                provider="local",
                registry=str(folder / "registry.db"),
                online_store={"type": "sqlite", "path": str(self.path)},
                offline_store={"type": "duckdb"},
                entity_key_serialization_version=3,
            )
        )
        keys = sorted({key for view in use_case.views for key in view.join_keys})
        entities = {key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys}
        views = [feast_view(view, entities, folder) for view in use_case.views]
        service = FeatureService(name=use_case.feature_service, features=list(views))
        self.feast.apply([*entities.values(), *views, service])

    def write(self, view: str, rows: Sequence[Mapping[str, Any]], available_at: datetime) -> None:
        frame = pd.DataFrame(rows).assign(available_at=pd.Timestamp(available_at))
        contract = next(contract for contract in self.use_case.views if contract.name == view)
        for column in contract.columns:
            if column.type is ColumnType.INT64:
                frame[column.name] = frame[column.name].astype("Int64")
        self.feast.write_to_online_store(view, frame)

    def publish(self, instant: datetime) -> None:
        """What our writer adds to Feast's layout."""
        with sqlite3.connect(self.path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(WATERMARK)
            connection.execute(
                "INSERT OR REPLACE INTO flywheel_watermark VALUES (?, ?, 0)",
                (self.use_case.name, to_microseconds(instant)),
            )
        connection.close()

    def read(self, requests: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        keys = sorted({key for view in self.use_case.views for key in view.join_keys})
        answer = self.feast.get_online_features(
            features=self.feast.get_feature_service(self.use_case.feature_service),
            entity_rows=[{key: request[key] for key in keys} for request in requests],
        ).to_dict()
        return [
            {column.name: answer[column.name][index] for column in self.use_case.view_columns}
            for index in range(len(requests))
        ]


def feast_view(view: FeatureViewContract, entities: Mapping[str, Entity], folder: Path) -> FeatureView:
    source = FileSource(name=view.name, path=str(folder / f"{view.name}.parquet"), timestamp_field="available_at")
    keys = [Field(name=key, dtype=String) for key in view.join_keys]
    columns = [Field(name=column.name, dtype=TYPES[column.type]) for column in view.columns]
    return FeatureView(
        name=view.name,
        entities=[entities[key] for key in view.join_keys],
        schema=keys + columns,
        source=source,
        ttl=view.ttl,
        online=True,
    )
