"""Starts the processes of an installation, waits until each is ready, and ends them all, whatever happens.

The Procfile is the list of them (read with honcho, which can run it too); each runs under a keeper of its own, so one
can be restarted while the others run and none outlives this process.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from honcho.environ import parse_procfile

from feature_repo.contracts import USE_CASES
from infra.local.errors import ProcessError
from infra.settings import Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]
KEEPER = Path(__file__).with_name("keeper.py")
POLL_SECONDS = 0.1
NUM_LAST_LINES = 20

Readiness = Callable[[float], str | None]
"""What a process that was started at that wall time still lacks, in words; None once it is ready."""


def end_by_signals() -> None:
    """Have each signal that asks a process to end do what Ctrl-C does.

    A shell has background jobs ignore Ctrl-C, which is taken back; `nohup` has them ignore the end of a terminal, which
    is not.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def commands(procfile: Path = ROOT / "Procfile") -> dict[str, list[str]]:
    """Name to arguments, in the Procfile's order; `serving: ... $USE_CASE` becomes `serving.<use case>` for each."""
    found: dict[str, list[str]] = {}
    for name, line in parse_procfile(procfile.read_text()).processes.items():
        arguments = [sys.executable if word == "python" else word for word in shlex.split(line)]
        if "$USE_CASE" not in arguments:
            found[name] = arguments
            continue
        for use_case in USE_CASES:
            found[f"{name}.{use_case}"] = [use_case if word == "$USE_CASE" else word for word in arguments]
    return found


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One started process: its keeper, its own pid (its group's too), its log and where that began."""

    keeper: "subprocess.Popen[str]"
    pid: int
    log: Path
    log_start: int
    started_at: float

    def last_lines(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, self.log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-NUM_LAST_LINES:])


@dataclass(kw_only=True)
class Supervisor:
    """Use as a context manager: leaving it ends every process that it started.

    A process without an entry in `readiness` is ready as soon as it was started. `grace_seconds` is how long a process
    may take to end by itself; every command starts at `root`, the repository's. `variables` are added to the
    environment of the process of that name. `lock` is the descriptor that holds the data folder: the keepers hold it
    too, so that it is free only when the last process has ended, even where the supervisor was killed.
    """

    settings: Settings
    commands: dict[str, list[str]]
    readiness: dict[str, Readiness] = field(default_factory=dict)
    root: Path = ROOT
    grace_seconds: float = 15.0
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: int | None = None
    _kept: dict[str, Kept] = field(default_factory=dict)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start(self, *names: str) -> None:
        """Start each, without waiting. Raises ProcessError if one was started already or has no command."""
        for name in names:
            if name in self._kept:
                raise ProcessError(f"{name} was started already (pid {self._kept[name].pid})")
            if name not in self.commands:
                raise ProcessError(f"no process {name!r}; there are: {', '.join(self.commands)}")
            self._kept[name] = self._start(name)

    def wait(self, *names: str, timeout_seconds: float = 120.0) -> None:
        """Return once each is ready.

        Raises ProcessError, with the log's last lines, if one ends or time is up; then also with what it lacked.
        """
        deadline = time.monotonic() + timeout_seconds
        for name in names or tuple(self._kept):
            while (lack := self.lack(name)) is not None:
                if time.monotonic() > deadline:
                    raise self._failure(name, f"was not ready within {timeout_seconds:.0f} s ({lack})")
                time.sleep(POLL_SECONDS)

    def lack(self, name: str) -> str | None:
        self.check(name)
        ask = self.readiness.get(name)
        return ask(self._kept[name].started_at) if ask else None

    def check(self, *names: str) -> None:
        """Raises ProcessError, with the log's last lines, if one of them (without names: any) has ended."""
        for name in names or tuple(self._kept):
            code = self._kept[name].keeper.poll()
            if code is not None:
                raise self._failure(name, f"ended by itself with {code}")

    def pid(self, name: str) -> int:
        return self._kept[name].pid

    def kill(self, name: str) -> None:
        """End a process and its group as a crash would, by kill -9; it can be started again afterwards."""
        with suppress(ProcessLookupError):
            os.killpg(self._kept[name].pid, signal.SIGKILL)
        self._kept.pop(name).keeper.wait()

    def stop(self, *names: str) -> None:
        """End each, at the same time, and return when nothing of them is left."""
        kept = [self._kept.pop(name) for name in names if name in self._kept]
        for process in kept:
            assert process.keeper.stdin is not None
            process.keeper.stdin.close()
        for process in kept:
            process.keeper.wait()

    def stop_all(self) -> None:
        self.stop(*reversed(self._kept))

    def _start(self, name: str) -> Kept:
        log = self.settings.root / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            log_start, started_at = file.tell(), time.time()
            keeper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(KEEPER), str(self.grace_seconds), *self.commands[name]],
                cwd=self.root,
                env=child_environment(self.settings, {"PYTHONUNBUFFERED": "1", **self.variables.get(name, {})}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
                pass_fds=() if self.lock is None else (self.lock,),
            )
        assert keeper.stdout is not None
        pid = keeper.stdout.readline()
        if not pid:
            reason = log.read_text().splitlines()[-1:]
            raise ProcessError(f"{name} could not be started: {' '.join(reason)}")
        return Kept(keeper=keeper, pid=int(pid), log=log, log_start=log_start, started_at=started_at)

    def _failure(self, name: str, what: str) -> ProcessError:
        kept = self._kept[name]
        return ProcessError(f"{name} {what}; the end of {kept.log}:\n{kept.last_lines()}")
