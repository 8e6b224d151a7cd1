"""Feast's SDK, imported for a fifth of what its import takes: import it from here, not from `feast`.

Feast decorates its classes with typeguard, which parses a module again for each of their methods: 7 of 11 s of CPU
(https://github.com/feast-dev/feast/pull/2812). And it imports torch wherever torch is installed, 2.5 s, to hand online
features over as tensors. Nothing here depends on either. To be removed once `import feast` takes no more than this.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import typeguard

Defined = TypeVar("Defined")


@contextmanager
def only_what_is_used() -> Iterator[None]:
    """Within it, typeguard checks nothing that is defined, and torch cannot be imported unless it was already."""
    checked, torch = typeguard.typechecked, sys.modules.get("torch")
    typeguard.typechecked = unchecked  # type: ignore[assignment]
    if torch is None:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = checked
        if torch is None:
            del sys.modules["torch"]


def unchecked(target: Defined) -> Defined:
    """What `typechecked` is under `python -O`."""
    return target


with only_what_is_used():
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, Project, ValueType
    from feast.data_format import ParquetFormat
    from feast.feature_view import DUMMY_ENTITY
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
    from feast.infra.offline_stores.ibis import get_historical_features_ibis
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.infra.passthrough_provider import PassthroughProvider
    from feast.repo_contents import RepoContents
    from feast.repo_operations import apply_total_with_repo_instance
    from feast.types import Float32, Int64, PrimitiveFeastType, String

__all__ = [
    "DUMMY_ENTITY",
    "DuckDBOfflineStore",
    "DuckDBOfflineStoreConfig",
    "Entity",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "Float32",
    "Int64",
    "ParquetFormat",
    "PassthroughProvider",
    "PrimitiveFeastType",
    "Project",
    "RepoContents",
    "RetrievalJob",
    "String",
    "ValueType",
    "apply_total_with_repo_instance",
    "get_historical_features_ibis",
]
