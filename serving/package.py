"""Verifies a model package, then loads it: signature before manifest, digests before model, contract before traffic.

The bytes that were verified are the bytes that are parsed, so nothing can be exchanged in between; a person with write
access to the registry but without the signing key cannot make this process open anything.
"""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from feature_repo.contracts.base import UseCase
from feature_repo.contracts.model_package import (
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    Manifest,
)
from serving.errors import PackageRefused
from serving.model import Model

MAX_MANIFEST_BYTES = 1024 * 1024
SIGNATURE_BYTES = 64
LIMIT_BY_FILE = {
    SIGNATURE_FILE: SIGNATURE_BYTES,
    MANIFEST_FILE: MAX_MANIFEST_BYTES,
    MODEL_FILE: MAX_FILE_BYTES,
}


@dataclass(frozen=True, kw_only=True)
class RawPackage:
    """Bytes as fetched, believed by nobody yet."""

    manifest: bytes
    signature: bytes
    model: bytes


def verify_manifest(raw: RawPackage, key: Ed25519PublicKey) -> Manifest:
    """Raises PackageRefused unless the signature is right and the model is the one that the manifest lists."""
    try:
        key.verify(raw.signature, raw.manifest)
    except InvalidSignature as error:
        raise PackageRefused("the manifest's signature is not by this installation's key") from error
    try:
        manifest = Manifest.from_bytes(raw.manifest)
    except ValueError as error:
        raise PackageRefused(str(error)) from error
    listed = {file.name: file for file in manifest.files}
    if MODEL_FILE not in listed:
        raise PackageRefused(f"the manifest lists {sorted(listed)}; expected {MODEL_FILE}")
    expected = listed[MODEL_FILE]
    if len(raw.model) != expected.size:
        raise PackageRefused(f"{MODEL_FILE} has {len(raw.model)} bytes; the manifest says {expected.size}")
    digest = hashlib.sha256(raw.model).hexdigest()
    if digest != expected.sha256:
        raise PackageRefused(f"{MODEL_FILE} has SHA-256 {digest}; the manifest says {expected.sha256}")
    return manifest


def check_contract(manifest: Manifest, use_case: UseCase) -> None:
    """Raises PackageRefused, with the first difference, unless the package was made for this contract."""
    if manifest.use_case != use_case.name:
        raise PackageRefused(f"the package is of use case {manifest.use_case!r}; expected {use_case.name!r}")
    if manifest.feature_service != use_case.feature_service:
        raise PackageRefused(
            f"the package was trained on {manifest.feature_service!r}; this service reads {use_case.feature_service!r}"
        )
    vector = tuple((column.name, column.type.value) for column in use_case.vector)
    if manifest.vector != vector:
        raise PackageRefused(f"the package's vector is not the contract's: {first_difference(manifest.vector, vector)}")
    types = dict(vector)
    for name in manifest.numeric:
        if types.get(name) not in ("float32", "int64"):
            raise PackageRefused(f"numeric input {name!r} is {types.get(name)} in the contract's vector")
    for name in manifest.categorical:
        if types.get(name) != "string":
            raise PackageRefused(f"categorical input {name!r} is {types.get(name)} in the contract's vector")
    if not 0 < manifest.decision_threshold < 1:
        raise PackageRefused(f"decision threshold {manifest.decision_threshold} is not between 0 and 1")


def first_difference(theirs: tuple[tuple[str, str], ...], ours: tuple[tuple[str, str], ...]) -> str:
    for position, (their, our) in enumerate(zip(theirs, ours, strict=False)):
        if their != our:
            return f"column {position} is {their}, expected {our}"
    return f"{len(theirs)} columns, expected {len(ours)}"


def load_package(raw: RawPackage, *, key: Ed25519PublicKey, use_case: UseCase, version: str, run_id: str) -> Model:
    """A model that is verified, loaded and warm. Raises PackageRefused, with the reason, for any other."""
    manifest = verify_manifest(raw, key)
    check_contract(manifest, use_case)
    if manifest.run_id != run_id:
        raise PackageRefused(f"the package is of run {manifest.run_id!r}; version {version} is of run {run_id!r}")
    return Model.load(raw.model, manifest=manifest, version=version)
