"""The key pair that signs model packages: training signs, serving verifies.

Ed25519, PEM without a passphrase, mode 0600: whoever may read the data folder may sign, nobody else.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from infra.settings import write_secret

SIGNING_KEY = "model_signing_key"
VERIFICATION_KEY = "model_verification_key"


def make_model_keys(folder: Path) -> None:
    """Make the pair in `folder` if there is none; a public key that was lost is derived again."""
    private = Ed25519PrivateKey.generate()
    write_secret(folder / SIGNING_KEY, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    kept = load_pem_private_key((folder / SIGNING_KEY).read_bytes(), password=None)
    public = kept.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_secret(folder / VERIFICATION_KEY, public)
