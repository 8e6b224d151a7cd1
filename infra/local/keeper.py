"""Keeps one process: runs a command, and ends it and every descendant when it is told to or its supervisor is gone.

Its standard input is a pipe from the supervisor that carries nothing. However the supervisor ends, kill -9 included,
the pipe closes; a signal at the parent's death would be tied to the thread that started us. Being a subreaper, it
inherits what its command orphans, so that nothing is left when it has no children. Standard library only and started
without site-packages: it is small and starts at once.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_FOR_ORPHANS = 2.0


def control(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, and then only the command's own process group is ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def end_with_keeper() -> None:
    control(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command: list[str]) -> int:
    """Returns the pid, which is also the command's process group."""
    # One thread runs here, so code between fork and exec is safe.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=end_with_keeper,
    )
    return child.pid


def told_to_end(wakeup: int) -> bool:
    """Wait for a signal or for the supervisor; True if the command is to end now."""
    readable, _, _ = select.select([0, wakeup], [], [])
    if 0 in readable and not os.read(0, 1):
        return True
    signals = os.read(wakeup, 64) if wakeup in readable else b""
    return any(number in signals for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def collect(code_by_pid: dict[int, int]) -> bool:
    """Collect whoever has ended; True while anyone lives."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            code_by_pid[pid] = os.waitstatus_to_exitcode(status)
    return False


def own_children() -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def send(number: int, group: int, pids: list[int]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_all(group: int, code_by_pid: dict[int, int], grace_seconds: float) -> None:
    """Ask the command's group to end, then end without asking whoever is left, wherever it went."""
    send(signal.SIGTERM, group, [])
    deadline = time.monotonic() + grace_seconds
    while collect(code_by_pid):
        if time.monotonic() > deadline:
            send(signal.SIGKILL, group, own_children())
        time.sleep(SECONDS_BETWEEN_LOOKS)


def keep(command: list[str], grace_seconds: float) -> int:
    """Returns the command's exit code, or 128 plus the signal that ended it."""
    control(PR_SET_CHILD_SUBREAPER, 1)
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    pid = start(command)
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    code_by_pid: dict[int, int] = {}
    while collect(code_by_pid) and pid not in code_by_pid and not told_to_end(wakeup):
        continue
    end_all(pid, code_by_pid, SECONDS_FOR_ORPHANS if pid in code_by_pid else grace_seconds)
    code = code_by_pid[pid]
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(keep(sys.argv[2:], float(sys.argv[1])))
