"""A copy of the repository to which a use case was added, with an installation of its own and its real commands."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes import Readiness, Supervisor
from infra.local.readiness import answers
from infra.settings import Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("feature_repo", "training", "serving", "monitoring", "dags", "infra")
FILES = ("Procfile", ".airflowignore", ".feastignore")
SECONDS_PER_COMMAND = 120


def copy_root(folder: Path, added: Path) -> Path:
    """Every layer, and the use case's files over them; a file of the layers is never replaced."""
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, folder / layer, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for path in sorted(added.rglob("*.py")):
        target = folder / path.relative_to(added)
        assert not target.exists(), f"{target} is there already"
        shutil.copy(path, target)
    return folder


def list_use_case(folder: Path, name: str) -> None:
    """The line in `contracts/__init__.py`."""
    path, contract = folder / "feature_repo" / "contracts" / "__init__.py", name.upper()
    text = path.read_text()
    listed = text.replace(
        "import FLIGHT_DELAY\n", f"import FLIGHT_DELAY\nfrom feature_repo.contracts.{name} import {contract}\n"
    ).replace("listed_by_name(FLIGHT_DELAY)", f"listed_by_name(FLIGHT_DELAY, {contract})")
    assert listed.count(contract) == 2, "the list of use cases is written in another way now: change this too"
    path.write_text(listed)


def free_ports(number: int) -> int:
    """The first of so many free ports in a row."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        if first + number < 65_536 and all(is_free(port) for port in range(first, first + number)):
            return first
    raise AssertionError(f"no {number} free ports in a row")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@dataclass(kw_only=True)
class CopiedRoot:
    """`use_case` is the added one, the second of two."""

    folder: Path
    settings: Settings
    use_case: str

    @property
    def serving_url(self) -> str:
        return f"http://{self.settings.bind}:{self.settings.serving_port + 1}"

    def python(self, *arguments: str, environment: dict[str, str] | None = None, code: int = 0) -> str:
        """What a command printed, run at the copy's root, or why it failed; it must end with `code`."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment or child_environment(self.settings),
            capture_output=True,
            text=True,
            timeout=SECONDS_PER_COMMAND,
            check=False,
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stderr[-4000:]}"
        return done.stderr if code else done.stdout

    def run(self, layer: str, command: str, *arguments: str) -> str:
        """`python -m LAYER COMMAND USE_CASE ARGUMENTS`"""
        return self.python("-m", layer, command, self.use_case, *arguments)

    def supervisor(self, commands: dict[str, list[str]]) -> Supervisor:
        ready: dict[str, Readiness] = {
            "mlflow": answers(f"{self.settings.mlflow_url}/health", begins_with="OK"),
            f"serving.{self.use_case}": answers(f"{self.serving_url}/livez"),
        }
        return Supervisor(settings=self.settings, commands=commands, readiness=ready, root=self.folder)


def added_files(added: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(added)) for path in added.rglob("*.py"))
