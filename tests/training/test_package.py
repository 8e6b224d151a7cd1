"""Nothing of a package is parsed unless every byte of it is what this installation signed."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from feature_repo.contracts.model_package import MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE, Manifest
from training.errors import PackageRejected
from training.package import packaged, signed_files, verified

Files = dict[str, bytes]
MODEL = b"a graph"
MANIFEST = Manifest(
    use_case="flight_delay",
    feature_service="flight_delay_v1",
    vector=(("delay", "float32"), ("carrier", "string")),
    numeric=("delay",),
    categorical=("carrier",),
    decision_threshold=0.35,
    dataset_digest="0" * 64,
    data_intervals=(("2013-01-01T00:00:00+00:00", "2013-03-01T00:00:00+00:00"),),
    run_id="run",
    commit="commit",
    files=(packaged(MODEL_FILE, MODEL),),
)


def key_pair() -> tuple[str, str]:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()


def flip(name: str) -> Callable[[Files], Files]:
    return lambda files: {**files, name: bytes([files[name][0] ^ 1]) + files[name][1:]}


def drop(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: value for key, value in files.items() if key != name}


def test_what_was_signed_is_read_back() -> None:
    private, public = key_pair()
    package = verified(signed_files(MANIFEST, MODEL, private), public)
    assert (package.manifest, package.model) == (MANIFEST, MODEL)


@pytest.mark.parametrize("damage", [flip, drop], ids=["a bit flipped", "missing"])
@pytest.mark.parametrize("name", [MODEL_FILE, MANIFEST_FILE, SIGNATURE_FILE])
def test_a_damaged_package_is_rejected(name: str, damage: Callable[[str], Callable[[Files], Files]]) -> None:
    private, public = key_pair()
    with pytest.raises(PackageRejected):
        verified(damage(name)(signed_files(MANIFEST, MODEL, private)), public)


def test_a_package_signed_by_another_key_is_rejected() -> None:
    (private, _), (_, other_public) = key_pair(), key_pair()
    with pytest.raises(PackageRejected, match="not signed"):
        verified(signed_files(MANIFEST, MODEL, private), other_public)


def test_a_signed_manifest_of_another_model_is_rejected() -> None:
    private, public = key_pair()
    manifest = replace(MANIFEST, files=(packaged(MODEL_FILE, b"another graph"),))
    with pytest.raises(PackageRejected, match="is not the file"):
        verified(signed_files(manifest, MODEL, private), public)
