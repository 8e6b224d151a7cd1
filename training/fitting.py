"""From a kept training set to a registered version: fit, export, evaluate, sign, register.

Each step finds what an earlier attempt left, so a command that was killed anywhere is simply run again: the checkpoint,
the run of its identity, and in the end the version itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.entities.model_registry import ModelVersion

from feature_repo.contracts.model_package import MODEL_FILE, Manifest
from infra.logs import logger
from infra.settings import Settings
from training import registry
from training.checkpoint import Epoch
from training.control import Training, incidents_of, note
from training.evaluate import Array, Metrics, measure, measure_slices
from training.export import export
from training.identity import commit, identity_of
from training.loop import fit
from training.model_card import write_model_card
from training.package import SIGNING_KEY, packaged, signed_files
from training.plots import draw_all
from training.rows import Rows, rows_of, slice_names
from training.scoring import open_session, score
from training.spec import TrainingSpec
from training.training_set import GATE, HELD_OUT, TRAIN, DatasetFacts, part_of, read_dataset, read_facts
from training.workspace import Workspace

log = logger("training.fitting")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    metrics: Metrics
    slices: dict[str, Metrics]
    plots: list[Path]


def fit_and_register(settings: Settings, client: MlflowClient, spec: TrainingSpec, training: Training) -> ModelVersion:
    """The version of this training. Raises TrainingError if the training set is missing or was changed."""
    workspace = Workspace.of(settings.root, training.training_id)
    facts = read_facts(workspace)
    identity = identity_of(facts.digest, spec)
    note(settings.database, training.training_id, dataset_digest=facts.digest)
    version = registry.find_version(client, spec.contract, identity)
    if version is None:
        run_id = registry.claim_run(client, spec.contract, identity, training.training_id)
        note(settings.database, training.training_id, run_id=run_id)
        version = make_version(settings, client, spec, training, facts, identity, run_id)
    else:
        log.info("this data, code and seed have a version already", version=version.version)
    registry.finish_run(client, version)
    note(settings.database, training.training_id, run_id=str(version.run_id), model_version=str(version.version))
    return version


def make_version(
    settings: Settings,
    client: MlflowClient,
    spec: TrainingSpec,
    training: Training,
    facts: DatasetFacts,
    identity: str,
    run_id: str,
) -> ModelVersion:
    workspace = Workspace.of(settings.root, training.training_id)
    table = read_dataset(workspace, facts)
    rows = {name: rows_in(table, spec, name) for name in (TRAIN, HELD_OUT, GATE)}
    log_inputs(client, run_id, spec, facts, workspace)
    model, vocabularies, history = fit(
        rows[TRAIN],
        rows[HELD_OUT],
        model_spec=spec.model,
        spec=spec.fit,
        identity=identity,
        checkpoint=workspace.checkpoint,
        on_epoch=lambda epoch: log.info("epoch", **asdict(epoch)),
    )
    graph = export(model, vocabularies, rows[GATE])
    evaluation = evaluate(graph, rows[GATE], part_of(table, GATE), spec, history, workspace)
    log_evaluation(client, run_id, evaluation, history)
    manifest = manifest_of(spec, facts, run_id, graph)
    files = signed_files(manifest, graph, settings.secret(SIGNING_KEY))
    registry.log_package(client, run_id, workspace.folder / "package", files, manifest)
    incidents = incidents_of(settings.database, training.training_id)
    card = write_model_card(
        spec.contract,
        facts,
        evaluation.metrics,
        evaluation.slices,
        training_id=training.training_id,
        commit=manifest.commit,
        reasons=training.reason,
        incidents=incidents,
    )
    client.log_text(run_id, card, "model_card.md")
    tags = tags_of(training, incidents, facts, identity, manifest)
    return registry.register(client, spec.contract, run_id, tags=tags, description=card)


def rows_in(table: pa.Table, spec: TrainingSpec, name: str) -> Rows:
    return rows_of(part_of(table, name), numeric=spec.numeric, categorical=spec.categorical)


def log_inputs(
    client: MlflowClient, run_id: str, spec: TrainingSpec, facts: DatasetFacts, workspace: Workspace
) -> None:
    settings = {**asdict(spec.model), **asdict(spec.fit)}
    facts_of_data = {"feature_service": facts.feature_service, "dataset_digest": facts.digest}
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in {**settings, **facts_of_data}.items()])
    registry.log_dataset(
        client,
        run_id,
        name=spec.contract.name,
        digest=facts.digest,
        source=json.dumps({"uri": f"trainings/{workspace.folder.name}/{workspace.dataset.name}"}),
        profile=json.dumps({name: part.num_rows for name, part in facts.parts.items()}),
    )


def evaluate(
    graph: bytes, rows: Rows, table: pa.Table, spec: TrainingSpec, history: Sequence[Epoch], workspace: Workspace
) -> Evaluation:
    """Of the exported graph, which is what will serve, on the gate's rows."""
    probability = score(open_session(graph), rows)
    slices = slice_metrics(rows.label, probability, table, spec)
    plots = draw_all(workspace.folder / "plots", rows.label, probability, slices, history)
    return Evaluation(metrics=measure(rows.label, probability), slices=slices, plots=plots)


def slice_metrics(label: Array, probability: Array, table: pa.Table, spec: TrainingSpec) -> dict[str, Metrics]:
    return {
        f"{column}={name}": metrics
        for column in spec.gate.slices
        for name, metrics in measure_slices(
            label, probability, slice_names(table[column]), min_rows=spec.gate.min_slice_rows
        ).items()
    }


def log_evaluation(client: MlflowClient, run_id: str, evaluation: Evaluation, history: Sequence[Epoch]) -> None:
    known = {name: value for name, value in asdict(evaluation.metrics).items() if value is not None}
    metrics = [Metric(f"gate_{name}", float(value), 0, 0) for name, value in known.items()]
    for epoch in history:
        values = {"train_loss": epoch.train_loss, "held_out_loss": epoch.held_out_loss, "epoch_seconds": epoch.seconds}
        metrics += [Metric(name, value, 0, epoch.number) for name, value in values.items()]
    client.log_batch(run_id, metrics=metrics)
    client.log_dict(run_id, {name: asdict(each) for name, each in evaluation.slices.items()}, "slices.json")
    for path in evaluation.plots:
        client.log_artifact(run_id, str(path), "plots")


def manifest_of(spec: TrainingSpec, facts: DatasetFacts, run_id: str, graph: bytes) -> Manifest:
    return Manifest(
        use_case=spec.contract.name,
        feature_service=facts.feature_service,
        vector=tuple((column.name, column.type.value) for column in spec.contract.vector),
        numeric=spec.numeric,
        categorical=spec.categorical,
        decision_threshold=spec.contract.decision_threshold,
        dataset_digest=facts.digest,
        data_intervals=tuple((part.start, part.end) for part in facts.parts.values()),
        run_id=run_id,
        commit=commit(),
        files=(packaged(MODEL_FILE, graph),),
    )


def tags_of(
    training: Training, incidents: Sequence[str], facts: DatasetFacts, identity: str, manifest: Manifest
) -> Mapping[str, str]:
    return {
        registry.IDENTITY: identity,
        registry.TRAINING_ID: training.training_id,
        "incident_ids": ",".join(incidents),
        "dataset_digest": facts.digest,
        "feature_service": facts.feature_service,
        "data_intervals": json.dumps(manifest.data_intervals),
        "commit": manifest.commit,
    }
