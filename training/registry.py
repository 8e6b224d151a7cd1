"""MLflow as training uses it: one run and one registered version per training set, code and seed.

A version's files are uploaded as they were signed. Beside them stands an `MLmodel` file made here, for the interface to
show the schema: MLflow's own `log_model` would store a second, unsigned copy, and other flavours would pickle.
"""

from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema

from feature_repo.contracts.base import UseCase
from feature_repo.contracts.model_package import (
    ARTIFACT_FOLDER,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MODEL_FILE,
    PROBABILITY_OUTPUT,
    SIGNATURE_FILE,
    Manifest,
)
from training.errors import PackageRejected, TrainingError

IDENTITY, TRAINING_ID, ORPHAN = "identity", "training_id", "orphan"


def experiment_id(client: MlflowClient, use_case: UseCase) -> str:
    found = client.get_experiment_by_name(use_case.name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(use_case.name))
    except MlflowException:
        found = client.get_experiment_by_name(use_case.name)
        if found is None:
            raise
        return str(found.experiment_id)  # another process made it in between


def find_version(client: MlflowClient, use_case: UseCase, identity: str) -> ModelVersion | None:
    """The version made from the same data, code and seed: the oldest, should there ever be two."""
    versions = client.search_model_versions(f"name = '{use_case.name}' and tag.{IDENTITY} = '{identity}'")
    return min(versions, key=lambda version: int(version.version), default=None)


def claim_run(client: MlflowClient, use_case: UseCase, identity: str, training_id: str) -> str:
    """The run to write to: the one that a killed command left behind, else a new one.

    Other runs of this training that nobody will end are marked as orphans.
    """
    experiment = experiment_id(client, use_case)
    left = client.search_runs([experiment], f"tags.{TRAINING_ID} = '{training_id}' and attributes.status = 'RUNNING'")
    mine = [run.info.run_id for run in left if run.data.tags.get(IDENTITY) == identity]
    for run in left:
        if run.info.run_id not in mine[:1]:
            mark_orphan(client, run.info.run_id, "a later attempt of the same training went on without it")
    if mine:
        return str(mine[0])
    tags = {IDENTITY: identity, TRAINING_ID: training_id}
    return str(client.create_run(experiment, tags=tags, run_name=training_id).info.run_id)


def mark_orphan(client: MlflowClient, run_id: str, reason: str) -> None:
    client.set_tag(run_id, ORPHAN, reason)
    client.set_terminated(run_id, "KILLED")


def finish_run(client: MlflowClient, version: ModelVersion) -> None:
    """End the run of a registered version, also one whose command was killed right after it had registered."""
    if client.get_run(str(version.run_id)).info.status == "RUNNING":
        client.set_terminated(str(version.run_id), "FINISHED")


def log_dataset(client: MlflowClient, run_id: str, *, name: str, digest: str, source: str, profile: str) -> None:
    # MLflow keeps 36 characters of a digest; the whole one is in the manifest and the tags.
    dataset = Dataset(name, digest[:36], "local", source, profile=profile)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def log_package(
    client: MlflowClient, run_id: str, folder: Path, files: Mapping[str, bytes], manifest: Manifest
) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "MLmodel").write_text(description_of(manifest, run_id).to_yaml())
    for name in (*files, "MLmodel"):
        client.log_artifact(run_id, str(folder / name), ARTIFACT_FOLDER)


def description_of(manifest: Manifest, run_id: str) -> Model:
    numeric = [ColSpec("float", name, required=False) for name in manifest.numeric]
    categorical = [ColSpec("string", name, required=False) for name in manifest.categorical]
    signature = ModelSignature(
        inputs=Schema([*numeric, *categorical]), outputs=Schema([ColSpec("float", PROBABILITY_OUTPUT)])
    )
    flavors = {"onnx": {"data": MODEL_FILE, "onnx_version": "1"}}
    return Model(artifact_path=ARTIFACT_FOLDER, run_id=run_id, signature=signature, flavors=flavors)


def register(
    client: MlflowClient, use_case: UseCase, run_id: str, *, tags: Mapping[str, str], description: str
) -> ModelVersion:
    """The version of `tags["identity"]`: this run's, unless another run was first, which then leaves this an orphan."""
    try:
        client.create_registered_model(use_case.name, description=use_case.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    first = find_version(client, use_case, tags[IDENTITY])
    if first is None:
        client.create_model_version(
            use_case.name,
            source=f"runs:/{run_id}/{ARTIFACT_FOLDER}",
            run_id=run_id,
            tags=dict(tags),
            description=description,
        )
        first = find_version(client, use_case, tags[IDENTITY])
    assert first is not None
    if first.run_id != run_id:
        for version in client.search_model_versions(f"name = '{use_case.name}' and run_id = '{run_id}'"):
            client.delete_model_version(use_case.name, version.version)
        mark_orphan(client, run_id, f"version {first.version} was registered from the same data, code and seed")
    return first


def version_by_alias(client: MlflowClient, use_case: UseCase, alias: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(use_case.name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise TrainingError(f"the registry does not answer for {use_case.name}@{alias}: {error.message}") from error


def package_files(client: MlflowClient, run_id: str, folder: Path) -> dict[str, bytes]:
    """The three files of a run's package. Raises PackageRejected if one is missing or too large."""
    files = {}
    for name in (MANIFEST_FILE, SIGNATURE_FILE, MODEL_FILE):
        try:
            path = Path(client.download_artifacts(run_id, f"{ARTIFACT_FOLDER}/{name}", str(folder)))
        except (MlflowException, OSError) as error:
            raise PackageRejected(f"run {run_id} has no {ARTIFACT_FOLDER}/{name}") from error
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PackageRejected(f"{name} of run {run_id} has more than {MAX_FILE_BYTES} bytes")
        files[name] = path.read_bytes()
    return files
