"""A root with the real DAGs, contracts and infra, where each layer's command is a few lines that write what was asked.

So a test runs real Airflow on the real DAGs in seconds. `<data>/behaviour/<layer>-<command>` may hold Python that the
command executes.
"""

import shutil
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("feature_repo", "training", "serving", "monitoring")
COMMAND = """
import os, pathlib, sys

data = pathlib.Path(os.environ["FLYWHEEL_DATA_DIR"])
with (data / "calls.txt").open("a") as calls:
    calls.write(" ".join([pathlib.Path(__file__).parent.name, *sys.argv[1:]]) + "\\n")
behaviour = data / "behaviour" / f"{pathlib.Path(__file__).parent.name}-{sys.argv[1]}"
if behaviour.exists():
    exec(behaviour.read_text())
"""


def make_tiny_root(folder: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("dags", "infra", "feature_repo/contracts"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    for name in (".airflowignore", "Procfile"):
        shutil.copy(ROOT / name, folder / name)
    for layer in LAYERS:
        (folder / layer).mkdir(exist_ok=True)
        (folder / layer / "__init__.py").touch()
        (folder / layer / "__main__.py").write_text(COMMAND)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
