"""The supervisor with real processes: nothing it started outlives it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_repo.contracts import USE_CASES
from infra.local.errors import InstallationError, ProcessError
from infra.local.processes import ROOT, Supervisor, commands
from infra.local.setup import sole_user
from infra.settings import Settings

# A process that starts one child in its own group and one that went its own way.
FAMILY = """
import pathlib, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
pathlib.Path(sys.argv[1]).write_text(" ".join(str(child.pid) for child in children) + " end")
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
SUPERVISOR = """
import sys, time
from pathlib import Path
from infra.local.processes import Supervisor
from infra.local.setup import sole_user
from infra.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]))
supervisor = Supervisor(settings=settings, commands={"family": sys.argv[2:]}, grace_seconds=1)
supervisor.start("family")
time.sleep(600)
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def supervisor(folder: Path, **lines: list[str]) -> Supervisor:
    return Supervisor(settings=Settings(data_dir=folder), commands=lines, grace_seconds=1.0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def family(path: Path) -> list[int]:
    until(lambda: path.exists() and path.read_text().endswith("end"))
    return [int(pid) for pid in path.read_text().split()[:-1]]


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z" not in stat.read_text()


def test_leaving_the_supervisor_ends_every_descendant(tmp_path: Path) -> None:
    with supervisor(tmp_path, family=python(FAMILY, str(tmp_path / "pids"))) as running:
        running.start("family")
        pids = [running.pid("family"), *family(tmp_path / "pids")]
        assert all(is_alive(pid) for pid in pids)

    assert not any(is_alive(pid) for pid in pids)


def test_a_process_that_ignores_the_request_is_ended_all_the_same(tmp_path: Path) -> None:
    with supervisor(tmp_path, stubborn=python(STUBBORN)) as running:
        running.start("stubborn")
        pid = running.pid("stubborn")
        until(lambda: "deaf" in (tmp_path / "logs" / "stubborn.log").read_text())

    assert not is_alive(pid)


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    command = python(SUPERVISOR, str(tmp_path), *python(FAMILY, str(tmp_path / "pids")))
    parent = subprocess.Popen(command, cwd=ROOT)
    pids = family(tmp_path / "pids")

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_process_that_ends_early_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    with supervisor(tmp_path, broken=python("raise SystemExit('the disk is full')")) as running:
        running.readiness["broken"] = lambda _started_at: "it says nothing"
        running.start("broken")
        with pytest.raises(ProcessError, match=r"broken ended by itself with 1(.|\n)*the disk is full"):
            running.wait("broken", timeout_seconds=20)


def test_a_process_that_is_never_ready_is_reported_with_the_time_it_had_and_what_it_lacked(tmp_path: Path) -> None:
    with supervisor(tmp_path, slow=python("import time; print('reading', flush=True); time.sleep(600)")) as running:
        running.readiness["slow"] = lambda _started_at: "GET /health: 503"
        running.start("slow")
        until(lambda: "reading" in (tmp_path / "logs" / "slow.log").read_text())
        with pytest.raises(ProcessError, match=r"slow was not ready within 0 s \(GET /health: 503\)(.|\n)*reading"):
            running.wait(timeout_seconds=0.3)


def test_a_killed_process_can_be_started_again_beside_the_others(tmp_path: Path) -> None:
    sleep = python("import time; time.sleep(600)")
    with supervisor(tmp_path, one=sleep, other=sleep) as running:
        running.start("one", "other")
        first, other = running.pid("one"), running.pid("other")

        running.kill("one")
        assert not is_alive(first)
        running.start("one")

        assert is_alive(running.pid("one"))
        assert running.pid("other") == other
        assert is_alive(other)


def test_a_name_that_is_not_in_the_procfile_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="no process 'mlfow'; there are: mlflow"):
        supervisor(tmp_path, mlflow=["true"]).start("mlfow")


def test_a_line_with_a_use_case_is_one_process_per_use_case() -> None:
    lines = commands()

    assert {f"serving.{name}" for name in USE_CASES} <= set(lines)
    assert lines["stream.flight_delay"][1:] == ["-m", "feature_repo", "stream", "flight_delay"]
    assert os.path.isabs(lines["mlflow"][0])  # noqa: PTH117
    assert not any("$" in word for line in lines.values() for word in line)


def test_a_folder_is_held_until_the_last_process_has_ended(tmp_path: Path) -> None:
    """Also where the supervisor was killed: its keepers inherited the lock."""
    settings = Settings(data_dir=tmp_path)
    with sole_user(settings) as lock:
        processes = Supervisor(settings=settings, commands={"deaf": python(STUBBORN)}, grace_seconds=1.0, lock=lock)
        processes.start("deaf")
    with pytest.raises(InstallationError, match="another Flywheel runs in"), sole_user(settings):
        pass
    processes.stop_all()
    with sole_user(settings):
        pass
