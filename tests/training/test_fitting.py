"""One registered version per training set, code and seed, whoever is killed and however many try at once.

The processes are real and die by SIGKILL inside a call of MLflow's own client.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow import MlflowClient

from infra.settings import Settings
from tests.training import winter
from tests.training.winter import NAME, SPEC
from training import registry
from training.control import Training, the_open_training
from training.fitting import fit_and_register
from training.training_set import DatasetFacts

ROOT = Path(__file__).parents[2]
Dataset = tuple[pa.Table, DatasetFacts]


def start(root: Path, shared: Path, *behaviour: str) -> subprocess.Popen[str]:
    """`python -m tests.training.fitter`, which fits the open training in `root` with the registry in `shared`."""
    command = [sys.executable, "-m", "tests.training.fitter", str(root), str(shared), *behaviour]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def opened(root: Path, dataset: Dataset) -> tuple[Settings, Training]:
    """A training on the first part of the rows, which is enough to have something to register."""
    table, facts = dataset
    settings = winter.installation(root)
    return settings, winter.open_training(settings, table.take(pa.array(range(0, len(table), 8))), facts)


def runs(client: MlflowClient) -> dict[str, list[str]]:
    """Run ids by status; a run that was marked as an orphan counts as `orphan`."""
    experiment = registry.experiment_id(client, SPEC.contract)
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment]):
        status = registry.ORPHAN if registry.ORPHAN in run.data.tags else run.info.status
        found.setdefault(status, []).append(run.info.run_id)
    return found


@pytest.mark.parametrize(
    ("when", "call"), [("before", "log_batch"), ("before", "create_model_version"), ("after", "create_model_version")]
)
def test_a_fit_that_is_killed_and_run_again_registers_one_version(
    tmp_path: Path, dataset: Dataset, when: str, call: str
) -> None:
    settings, training = opened(tmp_path, dataset)
    client = winter.client_of(tmp_path)
    with start(tmp_path, tmp_path, "die", when, call) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    assert runs(client).keys() == {"RUNNING"}
    version = fit_and_register(settings, client, SPEC, training)
    assert [each.version for each in winter.versions(client)] == [version.version]
    assert the_open_training(settings.database, NAME).model_version == str(version.version)
    assert fit_and_register(settings, client, SPEC, training).version == version.version
    assert runs(client) == {"FINISHED": [version.run_id]}


def register_twice_at_once(shared: Path, dataset: Dataset, behaviour: str) -> set[str]:
    """Two workers fit the same data with the same code and seed; the versions that they went on with."""
    roots = [shared / name for name in ("one", "other")]
    for root in roots:
        opened(root, dataset)
    workers = [start(root, shared, behaviour, root.name, "2") for root in roots]
    ended = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ended
    return {output.splitlines()[-1] for output, _ in ended}


def test_two_workers_that_register_at_the_same_instant_leave_one_version(tmp_path: Path, dataset: Dataset) -> None:
    client = winter.client_of(tmp_path)
    assert register_twice_at_once(tmp_path, dataset, "meet") == {"1"}, "both go on with the version that was first"
    (version,) = winter.versions(client)
    found = runs(client)
    assert found["FINISHED"] == [version.run_id]
    assert len(found[registry.ORPHAN]) == 1


def test_two_workers_that_do_not_see_each_other_leave_two_versions(tmp_path: Path, dataset: Dataset) -> None:
    """The control of the test above: the same race, with what the rule goes by hidden from it."""
    client = winter.client_of(tmp_path)
    assert register_twice_at_once(tmp_path, dataset, "meet-blind") == {"1", "2"}
    assert len(winter.versions(client)) == 2


def test_a_run_that_another_attempt_left_behind_is_marked(tmp_path: Path) -> None:
    client = winter.client_of(tmp_path)
    left = registry.claim_run(client, SPEC.contract, "older code", "training")
    mine = registry.claim_run(client, SPEC.contract, "newer code", "training")
    assert left != mine
    assert runs(client) == {registry.ORPHAN: [left], "RUNNING": [mine]}
    assert registry.claim_run(client, SPEC.contract, "newer code", "training") == mine


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("dataset", NAME), 99, "no open training"),
        (("gate", NAME), 99, "no open training"),
        (("admit", NAME), 99, "nothing waits"),
        (("dataset", "nonsense"), 1, "nonsense"),
    ],
)
def test_a_command_that_cannot_go_on_says_so_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    settings = winter.installation(tmp_path)
    environment = {**os.environ, "FLYWHEEL_DATA_DIR": str(settings.root)}
    command = [sys.executable, "-m", "training", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert says in done.stderr
