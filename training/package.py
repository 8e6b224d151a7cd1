"""A model package: written, signed, and read back only after its signature was checked.

The order of reading is the defence: signature over the manifest's bytes, then size and digest of each file, then and
only then a parser.
"""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from feature_repo.contracts.model_package import (
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    Manifest,
    PackagedFile,
)
from training.errors import PackageRejected

SIGNING_KEY = "model_signing_key"
VERIFICATION_KEY = "model_verification_key"


@dataclass(frozen=True, kw_only=True)
class Package:
    manifest: Manifest
    model: bytes


def packaged(name: str, content: bytes) -> PackagedFile:
    if len(content) > MAX_FILE_BYTES:
        raise PackageRejected(f"{name} has {len(content)} bytes; no reader takes more than {MAX_FILE_BYTES}")
    return PackagedFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def signed_files(manifest: Manifest, model: bytes, private_pem: str) -> dict[str, bytes]:
    """The three files of a version, by name."""
    key = load_pem_private_key(private_pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise PackageRejected(f"the signing key is a {type(key).__name__}; expected Ed25519; run `make setup`")
    raw = manifest.to_bytes()
    return {MODEL_FILE: model, MANIFEST_FILE: raw, SIGNATURE_FILE: key.sign(raw)}


def verified(files: dict[str, bytes], public_pem: str) -> Package:
    """Raises PackageRejected, before anything is parsed, unless every byte is what was signed."""
    key = load_pem_public_key(public_pem.encode())
    assert isinstance(key, Ed25519PublicKey)
    missing = sorted({MODEL_FILE, MANIFEST_FILE, SIGNATURE_FILE} - set(files))
    if missing:
        raise PackageRejected(f"the package lacks {missing}")
    try:
        key.verify(files[SIGNATURE_FILE], files[MANIFEST_FILE])
    except InvalidSignature as error:
        raise PackageRejected("the manifest is not signed by this installation's key") from error
    try:
        manifest = Manifest.from_bytes(files[MANIFEST_FILE])
    except ValueError as error:
        raise PackageRejected(str(error)) from error
    expected = {file.name: file for file in manifest.files}
    if expected != {MODEL_FILE: packaged(MODEL_FILE, files[MODEL_FILE])}:
        raise PackageRejected(f"{MODEL_FILE} is not the file that the manifest lists: {expected.get(MODEL_FILE)}")
    return Package(manifest=manifest, model=files[MODEL_FILE])
