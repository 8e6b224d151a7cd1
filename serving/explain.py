"""From a prediction id back to everything that made it: version, run, training set, features, data, commit."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text
from rich.tree import Tree

from feature_repo.contracts import prediction_log, use_case_named
from feature_repo.contracts.base import UseCase
from infra.clock import from_microseconds
from infra.settings import Settings
from serving.errors import PackageRefused, UnknownPrediction
from serving.model_store import ModelStore
from serving.registry import ModelVersion, Registry

QUERY = (
    "SELECT prediction_id, use_case, idempotency_key, requested_at, logged_at, replayed, model_version, "
    "feature_service, as_of, request, vector, probability, decision, degraded FROM predictions WHERE prediction_id = ?"
)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """`features` by view and `request_features` hold the logged vector; `model` what the signed manifest says."""

    prediction: dict[str, Any]
    request: dict[str, Any]
    features: dict[str, dict[str, Any]]
    request_features: dict[str, Any]
    model: dict[str, Any]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, allow_nan=False)

    def to_tree(self) -> Tree:
        tree = Tree(Text(f"prediction {self.prediction['prediction_id']}", "bold"))
        for name, branch in asdict(self).items():
            grow(tree.add(Text(name, "bold")), branch)
        return tree


def grow(tree: Tree, values: dict[str, Any]) -> None:
    """A caller wrote some of the values: as markup they could say anything."""
    for name, value in values.items():
        if isinstance(value, dict):
            grow(tree.add(Text(name)), value)
        else:
            tree.add(Text(f"{name}: {json.dumps(value)}"))


def explain(prediction_id: str, settings: Settings) -> Explanation:
    """Raises UnknownPrediction, RegistryUnavailable, or PackageRefused if the version is gone or was altered."""
    row = logged(prediction_id, settings)
    use_case = use_case_named(row["use_case"])
    vector = vector_by_name(use_case, json.loads(row.pop("vector")))
    request = json.loads(row.pop("request"))
    features = {
        f"{view.name} (by {', '.join(view.join_keys)})": {column.name: vector[column.name] for column in view.columns}
        for view in use_case.views
    }
    return Explanation(
        prediction=readable(row),
        request=request,
        features=features,
        request_features={column.name: vector[column.name] for column in use_case.request_columns},
        model=lineage(row["use_case"], row["model_version"], settings),
    )


def vector_by_name(use_case: UseCase, values: list[Any]) -> dict[str, Any]:
    """Raises ValueError if the contract has changed since the vector was logged."""
    if len(values) != len(use_case.vector):
        raise ValueError(
            f"{use_case.name}: the logged vector has {len(values)} values, the contract {len(use_case.vector)}; "
            "check out the commit that answered, and ask there"
        )
    return dict(zip((column.name for column in use_case.vector), values, strict=True))


def logged(prediction_id: str, settings: Settings) -> dict[str, Any]:
    unknown = f"no prediction {prediction_id!r} in {settings.prediction_log}; give the id of an answer of the service"
    if not prediction_log.is_made(settings.prediction_log):
        raise UnknownPrediction(unknown)
    with closing(sqlite3.connect(settings.prediction_log, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute(QUERY, (prediction_id,)).fetchone()
    if row is None:
        raise UnknownPrediction(unknown)
    return dict(row)


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """Times as text, flags as booleans, JSON as values."""
    times = {
        name: None if row[name] is None else from_microseconds(row[name]).isoformat()
        for name in ("requested_at", "logged_at", "as_of")
    }
    flags = {name: bool(row[name]) for name in ("replayed", "decision")}
    return {**row, **times, **flags, "degraded": json.loads(row["degraded"])}


def lineage(use_case: str, version_number: str, settings: Settings) -> dict[str, Any]:
    with Registry.of(settings) as registry:
        version = registry.version(use_case, version_number)
        if version is None:
            raise PackageRefused(f"the registry knows no version {version_number} of {use_case}; it was deleted there")
        return describe_version(version, registry, ModelStore.of(use_case_named(use_case), settings))


def describe_version(version: ModelVersion, registry: Registry, store: ModelStore) -> dict[str, Any]:
    """What the verified manifest and the run say; an altered package is not worth explaining with."""
    model, _ = store.load(registry, version)
    manifest = model.manifest
    run = registry.run(version.run_id) or {}
    return {
        "version": version.version,
        "run_id": version.run_id,
        "run_name": run.get("info", {}).get("run_name"),
        "training_id": version.tags.get("training_id"),
        "incidents": version.tags.get("incident_ids") or version.tags.get("incident_id"),
        "dataset_digest": manifest.dataset_digest,
        "feature_service": manifest.feature_service,
        "data_intervals": [list(interval) for interval in manifest.data_intervals],
        "commit": manifest.commit,
        "decision_threshold": manifest.decision_threshold,
        "gate": version.tags.get("gate"),
        "gate_reason": version.tags.get("gate_reason"),
        "promoted_by": version.tags.get("promoted_by"),
    }
