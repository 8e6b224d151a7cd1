"""Where packages come from: the registry, and a folder that keeps the last good version.

The folder lets the service start while MLflow is down. It is believed no more than the network: whatever comes out of
it is verified again.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from feature_repo.contracts.base import UseCase
from feature_repo.contracts.model_package import ARTIFACT_FOLDER, MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE
from infra.settings import Settings
from serving.errors import PackageRefused
from serving.keys import read_verification_key
from serving.model import Model
from serving.package import LIMIT_BY_FILE, RawPackage, load_package
from serving.registry import ModelVersion, Registry

ORIGIN_FILE = "origin.json"
CURRENT_FILE = "current"


class Origin(msgspec.Struct, frozen=True):
    version: str
    run_id: str


class ModelStore:
    """Loads versions of one use case's model."""

    def __init__(self, use_case: UseCase, *, key: Ed25519PublicKey, folder: Path) -> None:
        self.use_case = use_case
        self.key = key
        self.folder = folder

    @classmethod
    def of(cls, use_case: UseCase, settings: Settings) -> "ModelStore":
        key = read_verification_key(settings.root / "secrets" / "model_verification_key")
        return cls(use_case, key=key, folder=settings.root / "serving" / use_case.name)

    def load(self, registry: Registry, version: ModelVersion) -> tuple[Model, RawPackage]:
        """Raises PackageRefused, or RegistryUnavailable if the registry went away meanwhile."""
        if not version.run_id:
            raise PackageRefused(f"version {version.version} belongs to no run")
        raw = fetch(
            lambda name: registry.artifact(version.run_id, f"{ARTIFACT_FOLDER}/{name}", max_bytes=LIMIT_BY_FILE[name])
        )
        return self.verified(raw, Origin(version.version, version.run_id)), raw

    def load_last_good(self) -> Model | None:
        """None if nothing was kept yet. Raises PackageRefused if what was kept is not what was stored."""
        try:
            kept = self.folder / (self.folder / CURRENT_FILE).read_text()
            origin = msgspec.json.decode((kept / ORIGIN_FILE).read_bytes(), type=Origin)
            raw = fetch(lambda name: read_bounded(kept / name, LIMIT_BY_FILE[name]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PackageRefused(f"the kept model in {self.folder} is unreadable: {error}") from error
        return self.verified(raw, origin)

    def verified(self, raw: RawPackage, origin: Origin) -> Model:
        return load_package(raw, key=self.key, use_case=self.use_case, version=origin.version, run_id=origin.run_id)

    def keep(self, model: Model, raw: RawPackage) -> None:
        """Make `model` the last good version; a crash at any point leaves the former one whole."""
        kept = self.folder / f"version-{model.version}-{model.loaded_at_wall}"
        kept.mkdir(parents=True)
        write_synced(kept / MODEL_FILE, raw.model)
        write_synced(kept / MANIFEST_FILE, raw.manifest)
        write_synced(kept / SIGNATURE_FILE, raw.signature)
        write_synced(kept / ORIGIN_FILE, msgspec.json.encode(Origin(model.version, model.manifest.run_id)))
        write_synced(self.folder / "current.new", kept.name.encode())
        (self.folder / "current.new").replace(self.folder / CURRENT_FILE)
        self.forget_all_but(kept)

    def forget_all_but(self, kept: Path) -> None:
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder != kept:
                shutil.rmtree(folder, ignore_errors=True)


def fetch(read: Callable[[str], bytes]) -> RawPackage:
    """The signature first: a version without one costs a single small request."""
    signature = read(SIGNATURE_FILE)
    return RawPackage(signature=signature, manifest=read(MANIFEST_FILE), model=read(MODEL_FILE))


def read_bounded(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise PackageRefused(f"{path.name} is longer than {max_bytes} bytes")
    return raw


def write_synced(path: Path, raw: bytes) -> None:
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
