import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from infra.local.demo import plan_of
from infra.local.errors import InstallationError
from infra.local.scenario import SHORT, Plan

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


COMMAND = [sys.executable, "-m", "infra.local.demo", "--exit", "--short"]


def environment_of(data_dir: Path, **settings: object) -> dict[str, str]:
    """Of a demo on ports of its own."""
    names = ("SERVING_PORT", "MLFLOW_PORT", "AIRFLOW_PORT", "MONITORING_PORT")
    ports = {f"FLYWHEEL_{name}": str(free_port()) for name in names}
    own = {f"FLYWHEEL_{name}": str(value) for name, value in settings.items()}
    return {**os.environ, **ports, **own, "FLYWHEEL_DATA_DIR": str(data_dir)}


def start_demo(data_dir: Path, **settings: object) -> "subprocess.CompletedProcess[str]":
    """One that is expected to refuse."""
    environment = environment_of(data_dir, **settings)
    return subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def living_under(data_dir: Path) -> list[psutil.Process]:
    """Processes whose data folder lies in this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("FLYWHEEL_DATA_DIR", "").startswith(str(data_dir)):
                found.append(process)
    return found


def plan(
    *,
    short: bool = False,
    rounds: int | None = None,
    until: datetime | None = None,
    requests_per_day: int | None = None,
) -> Plan:
    return plan_of(short=short, rounds=rounds, until=until, requests_per_day=requests_per_day, seed=1)


def test_the_whole_demo_asks_sixty_thousand_times_in_at_most_fifteen_rounds() -> None:
    whole = plan()
    days = (whole.rounds[-1].end - whole.start) / timedelta(days=1)
    assert len(whole.rounds) <= 15
    assert days * whole.requests_per_day >= 60_000
    assert whole.rounds[0].start == datetime(2013, 5, 13, tzinfo=UTC)
    assert [first.end for first in whole.rounds[:-1]] == [following.start for following in whole.rounds[1:]]


def test_options_change_what_they_name_and_nothing_else() -> None:
    assert len(plan(rounds=3).rounds) == 3
    assert plan(until=datetime(2013, 6, 20)).rounds[-1].end == datetime(2013, 6, 10, tzinfo=UTC)  # noqa: DTZ001
    assert plan(short=True, requests_per_day=7).requests_per_day == 7
    assert plan(short=True).start == SHORT.start


def test_a_plan_without_a_round_is_refused_with_the_first_possible_end() -> None:
    with pytest.raises(InstallationError, match="the first ends at 2013-05-27"):
        plan(until=datetime(2013, 5, 14, tzinfo=UTC))


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = start_demo(tmp_path, SERVING_PORT=port)
    assert ended.returncode == 1
    assert f"demo: port {port} of 127.0.0.1 is taken" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_demo_beside_the_first_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / "in-use").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = start_demo(tmp_path)
    assert ended.returncode == 1
    assert f"demo: another Flywheel runs in {tmp_path / 'demo'}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = start_demo(tmp_path / "file")
    assert ended.returncode == 1
    assert ended.stderr.startswith("demo: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_demo_that_is_interrupted_ends_every_process_that_it_started(tmp_path: Path, number: signal.Signals) -> None:
    environment = environment_of(tmp_path)
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True) as demo:
        deadline = time.monotonic() + 300
        while not [*tmp_path.glob("demo/*/logs/scheduler.log")]:
            assert demo.poll() is None, demo.communicate()
            assert time.monotonic() < deadline, "no server was started"
            time.sleep(0.1)
        assert len(living_under(tmp_path)) > 5
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "interrupted; every process that it started has ended" in errors
    assert living_under(tmp_path) == []
