"""`make setup` trusts whom the system's store trusts: the authority of a company's proxy stands there and nowhere else.

Real are the recipes, pip, uv and a package index on loopback with TLS; in a mount namespace of its own the system's
store holds only the authority that signed the index's certificate.
"""

import base64
import hashlib
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
REAL_UV = Path(sys.prefix).parent / ".uv" / "bin" / "uv"
STORE = Path("/etc/ssl/certs/ca-certificates.crt")
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
SAYS_WHOM_TO_TRUST = ("CERT", "CA_BUNDLE", "PIP_", "UV_")


def certificate(name: str, key: ec.EllipticCurvePrivateKey, signed_by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Of `key`, in the name of "authority"; that of the authority itself may sign others."""
    subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, "authority"))
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    constraints = x509.BasicConstraints(ca=name == "authority", path_length=None)
    builder = builder.add_extension(address, critical=False).add_extension(constraints, critical=True)
    return builder.sign(signed_by, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def make_wheel(index: Path, name: str, files: dict[str, str]) -> str:
    """Put a wheel of version 1 into the index; returns its line of a lock."""
    described = {
        f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **files,
    }
    lines = [f"{path},sha256={digest(text)},{len(text)}" for path, text in described.items()]
    record = "\n".join([*lines, f"{name}-1.dist-info/RECORD,,"])
    folder = index / "simple" / name
    folder.mkdir(parents=True)
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**described, f"{name}-1.dist-info/RECORD": record}.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
    (folder / "index.html").write_text(
        f'<!doctype html><html><body><a href="{wheel.name}">{wheel.name}</a></body></html>'
    )
    return f"{name}==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Its URL. The folder `index` is served, and `authority.pem` is written beside it."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "authority.pem").write_bytes(pem(certificate("authority", authority, authority)))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "index.pem").write_bytes(secret + pem(certificate("index", key, authority)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "index.pem")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}/simple/"
        server.shutdown()


def make_installed(folder: Path, store: Path, index: str, *variables: str) -> "subprocess.CompletedProcess[str]":
    """`make .venv/installed` from that index alone, where the system's store is `store`."""
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
    own |= {"UV_DEFAULT_INDEX": index, "UV_NO_CONFIG": "1", "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0"}
    environment = {
        name: os.environ[name] for name in os.environ if not any(part in name for part in SAYS_WHOM_TO_TRUST)
    }
    within = ["unshare", "--mount", *AS_ROOT, "sh", "-c", 'mount --bind "$0" "$1" && shift && exec make "$@"']
    return subprocess.run(
        [*within, str(store), str(STORE), ".venv/installed", *variables],
        cwd=folder,
        env=environment | own,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_installed_comes_from_an_index_that_only_the_systems_store_vouches_for(
    tmp_path: Path, index: str
) -> None:
    root, script = tmp_path / "root", f'#!/bin/sh\nexec "{REAL_UV}" "$@"\n'
    (root / "infra" / "locks").mkdir(parents=True)
    (root / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (root / "infra" / "locks" / "uv.txt").write_text(
        make_wheel(tmp_path / "index", "uv", {"uv-1.data/scripts/uv": script})
    )
    (root / "infra" / "locks" / "all.txt").write_text(make_wheel(tmp_path / "index", "tiny", {"tiny.py": "SIZE = 1\n"}))

    refused = make_installed(root, tmp_path / "authority.pem", index, "UV_SYSTEM_CERTS=false")
    assert "UnknownIssuer" in refused.stderr, refused.stderr

    installed = make_installed(root, tmp_path / "authority.pem", index)
    assert installed.returncode == 0, installed.stderr
    assert [*root.glob(".venv/lib/*/site-packages/tiny.py")]
