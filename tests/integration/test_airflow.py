"""Real Airflow on SQLite runs the real DAGs; only the layers' commands are tiny.

One installation serves all tests here, because starting it costs most of the time.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from feature_repo.contracts.base import DataInterval
from infra.local import airflow_server
from infra.local.airflow import AirflowClient, DagRun
from infra.local.processes import Supervisor, commands
from infra.local.readiness import readiness
from infra.settings import SECRET_NAMES, Settings
from tests.e2e.copied_root import list_use_case
from tests.integration.tiny import free_port, make_tiny_root

USE_CASE, READER = "flight_delay", "rain_ahead"
ADDED = Path(__file__).parents[1] / "e2e" / "second_use_case"
DAY = DataInterval(start=datetime(2013, 4, 1, tzinfo=UTC), end=datetime(2013, 4, 2, tzinfo=UTC))
TIMEOUT_SECONDS = 120.0
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "canary-cloud-key-000000",
    "CANARY_PASSWORD": "canary-password-000000",
    "DATABASE_URL": "postgresql://flywheel:canary-in-url-000000@database/flywheel",
}


@dataclass(frozen=True)
class Installation:
    settings: Settings
    client: AirflowClient

    def calls(self) -> list[str]:
        path = self.settings.root / "calls.txt"
        return path.read_text().splitlines() if path.exists() else []

    @contextmanager
    def behaviour(self, command: str, code: str) -> Iterator[None]:
        """While inside, the tiny command (`monitoring-ask`) executes `code`."""
        path = self.settings.root / "behaviour" / command
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        yield
        path.unlink()

    def round(self) -> list[DagRun]:
        """Run the features of one day and whatever that rings; returns the runs."""
        since = datetime.now(UTC)
        self.client.trigger(f"{USE_CASE}__features", DAY)
        self.client.wait_until_quiet(USE_CASE, since=since, timeout_seconds=TIMEOUT_SECONDS)
        self.client.wait_until_drawn(USE_CASE, timeout_seconds=TIMEOUT_SECONDS)
        return self.client.runs(USE_CASE, since=since)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        yield from running_installation(tmp_path_factory)


def running_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    base = tmp_path_factory.mktemp("airflow")
    root = make_tiny_root(base / "root")
    add_reader(root)
    settings = Settings(data_dir=base / "var", airflow_port=free_port(), clock=f"file:{base / 'clock'}")
    for name in SECRET_NAMES:
        place_canary(settings, name)
    settings.make_secrets()
    airflow_server.set_up(settings)
    client = AirflowClient(settings)
    checks = readiness(settings, client)
    lines = commands(root / "Procfile")
    with Supervisor(settings=settings, commands=lines, readiness=checks, root=root) as supervisor:
        supervisor.start("api-server", "scheduler", "dag-processor")
        supervisor.wait(timeout_seconds=TIMEOUT_SECONDS)
        client.unpause(USE_CASE)
        yield Installation(settings, client)


def add_reader(root: Path) -> None:
    """A second use case, which reads a source of the first; its DAGs stay paused."""
    for layer in ("feature_repo/contracts", "dags/use_cases"):
        shutil.copy(ADDED / layer / f"{READER}.py", root / layer)
    list_use_case(root, READER)


def canary(name: str) -> str:
    """A secret that is easy to find again; what it must be as a key, it is (a Fernet key is 32 bytes in base64)."""
    text = f"canary-{name}-".replace("_", "-")
    return (text + "0" * 64)[:43] + "=" if name == "airflow_fernet" else text + "0" * 64


def place_canary(settings: Settings, name: str) -> None:
    folder = settings.root / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / name).write_text(canary(name))


def test_the_features_of_a_day_ring_the_whole_round(installation: Installation) -> None:
    num_before = len(installation.calls())

    runs = installation.round()

    assert [(run.stage, run.state) for run in runs] == [
        ("features", "success"),
        ("monitoring", "success"),
        ("training", "success"),
        ("release", "success"),
    ]
    interval = "--start 2013-04-01T00:00:00+00:00 --end 2013-04-02T00:00:00+00:00"
    calls = installation.calls()[num_before:]
    calls.remove(f"monitoring report {USE_CASE}")  # drawn beside whatever comes next
    assert calls == [
        f"feature_repo ingest {USE_CASE} flights weather {interval}",
        f"feature_repo build {USE_CASE} {interval}",
        f"monitoring check {USE_CASE}",
        f"monitoring ask {USE_CASE}",
        f"training admit {USE_CASE}",
        f"training dataset {USE_CASE}",
        f"training fit {USE_CASE}",
        f"training gate {USE_CASE}",
        f"serving release {USE_CASE}",
    ]


def test_a_task_that_exits_with_99_is_skipped_and_rings_nothing(installation: Installation) -> None:
    with installation.behaviour("monitoring-ask", "print('no entry waits'); sys.exit(99)"):
        runs = installation.round()

    assert [(run.stage, run.state) for run in runs] == [("features", "success"), ("monitoring", "success")]
    assert task_states(installation, runs[-1]) == {"check": "success", "ask": "skipped", "report": "success"}


def test_an_event_that_was_lost_delays_a_round_and_the_same_interval_can_be_run_again(
    installation: Installation,
) -> None:
    since = datetime.now(UTC)

    installation.client.trigger(f"{USE_CASE}__training")
    runs = installation.client.wait_until_quiet(USE_CASE, since=since, timeout_seconds=TIMEOUT_SECONDS)

    assert [run.stage for run in runs] == ["training", "release"]
    assert {run.stage for run in installation.round()} == {"features", "monitoring", "training", "release"}


FAILING = """
from infra.logs import configure_logs, logger
print({shown!r})
configure_logs("monitoring")
url = os.environ["DATABASE_URL"]
logger("check").error("no answer", url=url, password=os.environ["CANARY_PASSWORD"], reason=f"tried {{url}} twice")
raise SystemExit(1)
"""


def test_no_secret_is_in_a_log_or_an_answer_of_airflow(installation: Installation) -> None:
    """Twelve canaries: the nine secrets of an installation, and three in the environment of a command that fails."""
    secrets = [canary(name) for name in SECRET_NAMES] + [ENVIRONMENT[name] for name in ENVIRONMENT]
    shown = "canary-that-is-shown"
    since = datetime.now(UTC)
    with installation.behaviour("monitoring-check", FAILING.format(shown=shown)):
        run_id = installation.client.trigger(f"{USE_CASE}__monitoring")
        run = installation.client.unfinished_runs(USE_CASE)[0]
        wait_for(lambda: task_states(installation, run)["check"] == "up_for_retry")
        end_run(installation, run_id)
    installation.client.wait_until_quiet(USE_CASE, since=since, timeout_seconds=TIMEOUT_SECONDS)

    texts = {str(path): path.read_bytes() for path in files_outside_secrets(installation.settings)}
    texts |= {path: body.encode() for path, body in answers(installation, run).items()}

    assert len(secrets) == 12
    found = [(path, secret) for path, text in texts.items() for secret in secrets if bare(secret) in text]
    assert found == []
    assert sum(shown.encode() in text for text in texts.values()) >= 2, "the search finds what was printed"


def bare(secret: str) -> bytes:
    """A secret without the rest of its URL."""
    return secret.removeprefix("postgresql://flywheel:").removesuffix("@database/flywheel").encode()


def test_a_command_ends_with_its_whole_group_when_its_task_is_ended(installation: Installation) -> None:
    pid_file = installation.settings.root / "child-pid"
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    since = datetime.now(UTC)
    with installation.behaviour("monitoring-check", code):
        run_id = installation.client.trigger(f"{USE_CASE}__monitoring")
        wait_for(pid_file.exists)
        end_run(installation, run_id)
        pid = int(pid_file.read_text())
        wait_for(lambda: not is_alive(pid))
    installation.client.wait_until_quiet(USE_CASE, since=since, timeout_seconds=TIMEOUT_SECONDS)


def test_who_does_not_log_in_sees_nothing(installation: Installation) -> None:
    url = installation.settings.airflow_url

    assert httpx.get(f"{url}/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED
    for user, password in (("admin", "admin"), ("airflow", "airflow"), ("admin", "")):
        answer = httpx.post(f"{url}/auth/token", json={"username": user, "password": password})
        assert answer.is_client_error, f"{user} got in with a stock password"


def test_who_only_reads_a_source_builds_when_its_owner_has_ingested(installation: Installation) -> None:
    """Woken so it is given no interval and finds what there is to build; one that it is given, it builds."""
    wait_for(lambda: installation.client.parsed_at(f"{READER}__release") is not None)
    installation.client.unpause(READER)
    num_before, since = len(installation.calls()), datetime.now(UTC)

    installation.round()

    runs = installation.client.wait_until_quiet(READER, since=since, timeout_seconds=TIMEOUT_SECONDS)
    assert [(run.stage, run.state) for run in runs[:2]] == [("features", "success"), ("monitoring", "success")]
    calls = installation.calls()[num_before:]
    ingest = next(call for call in calls if call.startswith(f"feature_repo ingest {USE_CASE} flights weather"))
    built = calls.index(f"feature_repo build {READER} --start  --end ")
    assert calls.index(ingest) < built < calls.index(f"monitoring check {READER}")

    installation.client.trigger(f"{READER}__features", DAY)
    installation.client.wait_until_quiet(READER, since=since, timeout_seconds=TIMEOUT_SECONDS)

    interval = "--start 2013-04-01T00:00:00+00:00 --end 2013-04-02T00:00:00+00:00"
    assert installation.calls().count(f"feature_repo build {READER} {interval}") == 1


def task_states(installation: Installation, run: DagRun) -> dict[str, str]:
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
    return {task["task_id"]: task["state"] for task in installation.client.request("GET", path)["task_instances"]}


def files_outside_secrets(settings: Settings) -> list[Path]:
    return [path for path in settings.root.rglob("*") if path.is_file() and path.parent.name != "secrets"]


def end_run(installation: Installation, run_id: str) -> None:
    path = f"/dags/{USE_CASE}__monitoring/dagRuns/{run_id}"
    installation.client.request("PATCH", path, json={"state": "failed"})


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def answers(installation: Installation, run: DagRun) -> dict[str, str]:
    """What Airflow's interface shows of a run and of itself."""
    tasks = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
    paths = [tasks, f"{tasks}/check/logs/1", f"/dags/{run.dag_id}/details", "/eventLogs"]
    return {path: str(installation.client.request("GET", path)) for path in paths}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
