"""The served version's model, to ask it about the rows it was trained on: verified first, parsed second.

Read from the registry's artifacts over plain HTTP, because importing MLflow's client takes longer than the check.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import httpx
import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from feature_repo.contracts.model_package import (
    ARTIFACT_FOLDER,
    CATEGORICAL_INPUT,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MODEL_FILE,
    NUMERIC_INPUT,
    PROBABILITY_OUTPUT,
    SIGNATURE_FILE,
    Manifest,
)
from infra.settings import Settings
from monitoring.errors import MonitoringError, PackageRefused
from monitoring.sample import Floats, Sample

BATCH = 1024


class Model(Protocol):
    def inputs(self) -> tuple[str, ...]: ...

    def predict(self, sample: Sample) -> Floats: ...


class OnnxModel:
    """A verified package, loaded on one thread."""

    def __init__(self, manifest: Manifest, graph: bytes) -> None:
        import onnxruntime  # half a second, needed once per version

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.manifest = manifest

    def inputs(self) -> tuple[str, ...]:
        return self.manifest.numeric + self.manifest.categorical

    def predict(self, sample: Sample) -> Floats:
        """Probabilities, (len(sample),)."""
        parts = [sample.where(np.arange(at, min(at + BATCH, len(sample)))) for at in range(0, len(sample), BATCH)]
        return np.concatenate([self._predict_batch(part) for part in parts]) if parts else np.zeros(0)

    def _predict_batch(self, sample: Sample) -> Floats:
        feeds: dict[str, object] = {}
        if self.manifest.numeric:
            columns = [sample.numeric[name] for name in self.manifest.numeric]
            feeds[NUMERIC_INPUT] = np.stack(columns, axis=1).astype(np.float32)
        if self.manifest.categorical:
            feeds[CATEGORICAL_INPUT] = np.stack(
                [sample.categorical[name] for name in self.manifest.categorical], axis=1
            )
        (probability,) = self.session.run([PROBABILITY_OUTPUT], feeds)
        return np.asarray(probability, np.float64)


def fetch_package(settings: Settings, run_id: str) -> dict[str, bytes]:
    """The three files of a run's package. Raises MonitoringError if the registry does not answer with them."""
    files = {}
    credentials = ("flywheel", settings.secret("mlflow_password"))
    with httpx.Client(base_url=settings.mlflow_url, auth=credentials, timeout=20, trust_env=False) as client:
        for name in (MANIFEST_FILE, SIGNATURE_FILE, MODEL_FILE):
            try:
                answer = client.get(
                    "/get-artifact", params={"path": f"{ARTIFACT_FOLDER}/{name}", "run_uuid": run_id}
                ).raise_for_status()
            except httpx.HTTPError as error:
                reason = f"run {run_id}: {name} cannot be read from the registry: {error}; is MLflow up?"
                raise MonitoringError(reason) from error
            files[name] = answer.content
    return files


def verified(files: dict[str, bytes], key: Ed25519PublicKey) -> Manifest:
    """The manifest. Raises PackageRefused unless signature, size and digest are right."""
    raw, graph = files[MANIFEST_FILE], files[MODEL_FILE]
    try:
        key.verify(files[SIGNATURE_FILE], raw)
    except InvalidSignature as error:
        raise PackageRefused("the manifest is not signed by this installation's key; train a new version") from error
    manifest = Manifest.from_bytes(raw)
    listed = {file.name: file for file in manifest.files}
    digest = hashlib.sha256(graph).hexdigest()
    if len(graph) > MAX_FILE_BYTES or MODEL_FILE not in listed or listed[MODEL_FILE].sha256 != digest:
        raise PackageRefused(f"{MODEL_FILE} has digest {digest}, which the signed manifest does not list")
    return manifest


def verification_key(path: Path) -> Ed25519PublicKey:
    if not path.exists():
        raise MonitoringError(f"no verification key {path}; run `make setup` first")
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise PackageRefused(f"{path} is no Ed25519 public key; run `make setup`")
    return key


def load_served_model(settings: Settings, run_id: str) -> OnnxModel:
    """Raises PackageRefused or MonitoringError, with what to do."""
    files = fetch_package(settings, run_id)
    manifest = verified(files, verification_key(settings.root / "secrets" / "model_verification_key"))
    return OnnxModel(manifest, files[MODEL_FILE])
