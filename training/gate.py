"""Puts a challenger before the gate, against what is served and on the same rows, and writes down what came of it.

"Served" is what the service itself answers, since an alias is only an intent; the alias counts when no service runs.
"""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from feature_repo.contracts import USE_CASES, serving_port
from feature_repo.contracts.base import UseCase
from feature_repo.contracts.control import TrainingState
from feature_repo.contracts.model_package import CHALLENGER, CHAMPION
from infra.clock import to_microseconds
from infra.logs import logger
from infra.settings import Settings
from training import registry
from training.control import Training, end
from training.errors import TrainingError
from training.package import VERIFICATION_KEY, verified
from training.promotion import Decision, Floats, GateRows, Verdict, decide
from training.rows import rows_of, slice_names
from training.scoring import open_session, score
from training.spec import TrainingSpec
from training.training_set import GATE, TRAIN, DatasetFacts, part_of, read_dataset, read_facts
from training.workspace import Workspace

log = logger("training.gate")
MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """What the challenger must beat, and its probabilities of the gate's rows."""

    name: str
    probability: Floats


def put_before_gate(
    settings: Settings, client: MlflowClient, spec: TrainingSpec, training: Training, *, now: datetime
) -> Decision:
    """Tags the version, sets the alias if it passed, ends the training. Raises TrainingError if it has no version."""
    if training.model_version is None:
        raise TrainingError(f"training {training.training_id} has no version yet; run first: python -m training fit")
    workspace = Workspace.of(settings.root, training.training_id)
    facts = read_facts(workspace)
    table = part_of(read_dataset(workspace, facts), GATE)
    challenger = client.get_model_version(spec.contract.name, training.model_version)
    probability = probabilities(settings, client, challenger, table)
    incumbent = find_incumbent(settings, client, spec.contract, facts, table)
    rows = gate_rows(spec, facts, table)
    decision = decide(probability, incumbent.probability, rows, spec.gate, against=incumbent.name)
    publish(client, spec.contract, challenger, decision)
    passed = decision.verdict is Verdict.PASSED
    state = TrainingState.PASSED if passed else TrainingState.GATE_REFUSED
    end(settings.database, training.training_id, state, decision.reason, now=now, gate=decision.to_dict())
    return decision


def gate_rows(spec: TrainingSpec, facts: DatasetFacts, table: pa.Table) -> GateRows:
    """Days are counted from the window's start, 24 hours each: none of them is cut short by it."""
    start = to_microseconds(datetime.fromisoformat(facts.parts[GATE].start))
    times = table["prediction_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    slices: dict[str, NDArray[np.bool_]] = {}
    for column in spec.gate.slices:
        values = slice_names(table[column])
        slices |= {f"{column}={name}": values == name for name in np.unique(values)}
    return GateRows(
        label=table["label"].to_numpy().astype(np.float64), day=(times - start) // MICROSECONDS_PER_DAY, slices=slices
    )


def probabilities(settings: Settings, client: MlflowClient, version: ModelVersion, table: pa.Table) -> Floats:
    """Of a version on the rows of `table`. Raises PackageRejected before anything unsigned is parsed."""
    with tempfile.TemporaryDirectory() as folder:
        files = registry.package_files(client, str(version.run_id), Path(folder))
    package = verified(files, settings.secret(VERIFICATION_KEY))
    inputs = (*package.manifest.numeric, *package.manifest.categorical)
    missing = sorted(set(inputs) - set(table.column_names))
    if missing:
        raise TrainingError(
            f"{version.name} v{version.version} wants {missing}, which these rows do not have; "
            "the feature service has changed: release the first version on the new one by hand"
        )
    rows = rows_of(table, numeric=package.manifest.numeric, categorical=package.manifest.categorical)
    return score(open_session(package.model), rows).astype(np.float64)


def find_incumbent(
    settings: Settings, client: MlflowClient, use_case: UseCase, facts: DatasetFacts, table: pa.Table
) -> Incumbent:
    """The served version; without one, the constant that the training rows suggest."""
    number = served_version(settings, use_case)
    version = None if number is None else client.get_model_version(use_case.name, number)
    if version is None:
        version = registry.version_by_alias(client, use_case, CHAMPION)
    if version is not None:
        name = f"version {version.version}"
        return Incumbent(name=name, probability=probabilities(settings, client, version, table))
    train = facts.parts[TRAIN]
    base_rate = train.num_positive / train.num_rows
    return Incumbent(name="the base rate, as nothing is served", probability=np.full(len(table), base_rate))


def served_version(settings: Settings, use_case: UseCase) -> str | None:
    """What the use case's service says that it serves; None if no service answers."""
    if use_case.name not in USE_CASES:
        return None
    port = serving_port(settings.serving_port, use_case.name)
    try:
        answer = httpx.get(
            f"{settings.url(port)}/info",
            headers={"Authorization": f"Bearer {settings.secret('serving_api_key')}"},
            timeout=5,
            trust_env=False,
        )
        body = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError, FileNotFoundError) as error:
        log.warning("no service answers; the alias says what is served", reason=str(error))
        return None
    version = body.get("model_version") if isinstance(body, dict) and body.get("use_case") == use_case.name else None
    return None if version is None else str(version)


def publish(client: MlflowClient, use_case: UseCase, version: ModelVersion, decision: Decision) -> None:
    """Tags first, alias last: what follows the alias finds the reason there."""
    passed = decision.verdict is Verdict.PASSED
    tags = {
        "gate": "passed" if passed else "refused",
        "gate_reason": decision.reason,
        "gate_result": json.dumps(decision.to_dict()),
    }
    for name, value in tags.items():
        client.set_model_version_tag(use_case.name, version.version, name, value)
    if passed:
        client.set_registered_model_alias(use_case.name, CHALLENGER, version.version)
