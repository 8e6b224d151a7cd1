"""A data folder that a loop has lived in, copied and moved: it works under another name, the other is untouched."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from feature_repo.contracts.model_package import CHAMPION
from infra.local.airflow import AirflowClient
from infra.local.processes import Supervisor, commands
from infra.local.readiness import readiness
from infra.settings import Settings, child_environment
from serving.registry import Registry
from tests.hostile_names import EVERYTHING

ROOT = Path(__file__).parents[2]
USE_CASE = "flight_delay"
UNDEGRADED = "SELECT request FROM predictions WHERE degraded = '[]' ORDER BY sequence DESC LIMIT 1"
LOGS = ("logs/", "airflow/logs/")  # what was printed may name a folder; nobody follows it
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Copied:
    """`before`: the digests of the original's files before anything was done with the copy."""

    original: Path
    before: dict[str, str]
    settings: Settings

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=child_environment(self.settings), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of each file and what each link says, by its name in the folder."""
    for path in sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file()):
        yield str(path.relative_to(root)), bytes(path.readlink()) if path.is_symlink() else path.read_bytes()


def digests(root: Path) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents(root)}


@pytest.fixture(scope="module")
def copied(demo: Path, tmp_path_factory: pytest.TempPathFactory, free_ports: dict[str, str]) -> Copied:
    """The demo's data folder in a copy of another name, set up again, for servers on ports of their own."""
    (original,) = (path.parent for path in demo.glob("demo/*/secrets"))
    copy, before = tmp_path_factory.mktemp("copied") / EVERYTHING, digests(original)
    shutil.copytree(original, copy, symlinks=True)
    ports = {name.lower(): int(free_ports[f"FLYWHEEL_{name}"]) for name in PORTS}
    settings = Settings(data_dir=copy, **ports)
    made = Copied(original, before, settings)
    made.run("infra.local.setup")
    return made


PORTS = ("SERVING_PORT", "MLFLOW_PORT", "AIRFLOW_PORT", "MONITORING_PORT")


def test_setting_up_the_copy_leaves_the_original_as_it_was(copied: Copied) -> None:
    assert digests(copied.original) == copied.before


def test_no_file_of_it_but_the_logs_names_the_folder_that_it_lies_in(copied: Copied, demo: Path) -> None:
    where = bytes(demo.parent)  # a part of the path that every syntax writes as it is
    naming = [name for name, content in contents(copied.original) if where in content]
    assert [name for name in naming if not name.startswith(LOGS)] == []
    assert naming, "the search finds what servers log"


@pytest.fixture(scope="module")
def moved(copied: Copied) -> Iterator[Copied]:
    """The copy with every server up, while the original is gone from where it was."""
    away, client = copied.original.with_name("away"), AirflowClient(copied.settings)
    copied.original.rename(away)
    try:
        checks = readiness(copied.settings, client)
        with Supervisor(settings=copied.settings, commands=commands(), readiness=checks) as supervisor:
            supervisor.start(*supervisor.commands)
            supervisor.wait()
            yield copied
    finally:
        client.close()
        away.rename(copied.original)


def test_the_service_of_a_moved_folder_answers_with_the_champion_of_its_registry(moved: Copied) -> None:
    with Registry.of(moved.settings) as registry:
        champion = registry.version_by_alias(USE_CASE, CHAMPION)
    assert champion is not None
    with closing(sqlite3.connect(moved.settings.prediction_log)) as log:
        ((request,),) = log.execute(UNDEGRADED).fetchall()
    answer = httpx.post(
        f"{moved.settings.url(moved.settings.serving_port)}/predict",
        content=request,
        headers={
            "Authorization": f"Bearer {moved.settings.secret('serving_api_key')}",
            "Content-Type": "application/json",
        },
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["model_version"]) == (200, champion.version)
    assert not answer.json()["degraded"]


def test_what_a_moved_folder_served_equals_what_its_own_lake_says(moved: Copied) -> None:
    assert "mismatched 0" in moved.run("feature_repo", "parity", USE_CASE, "--sample", "200")


def test_airflow_works_and_logs_in_the_moved_folder(moved: Copied) -> None:
    client, since = AirflowClient(moved.settings), datetime.now(UTC)
    client.unpause(USE_CASE)
    run_id = client.trigger(f"{USE_CASE}__release")
    (run, *_) = client.wait_until_quiet(USE_CASE, since=since, timeout_seconds=TIMEOUT_SECONDS)
    assert (run.run_id, run.state) == (run_id, "success")
    assert list(moved.settings.root.glob(f"airflow/logs/dag_id={USE_CASE}__release/run_id={run_id}/*/*.log"))


def test_at_the_end_the_original_is_still_as_it_was(copied: Copied) -> None:
    assert digests(copied.original if copied.original.exists() else copied.original.with_name("away")) == copied.before
