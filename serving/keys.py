"""The public key that model packages are verified with, apart from the code that loads models: a start-up check needs
the key and not ONNX Runtime.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def read_verification_key(path: Path) -> Ed25519PublicKey:
    """Raises FileNotFoundError with what to run, ValueError if it is another kind of key."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no model verification key at {path}; run `make setup` first") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} holds a {type(key).__name__}; expected an Ed25519 public key")
    return key
