"""One operator: run a layer's own command in a process of its own, its output in the task's log.

A process of its own, because the scheduler's environment must not have to agree with torch's, and because the same
list of arguments can later be a pod's. No shell: arguments are a list, so that no value of a template is ever parsed.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from infra.settings import Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]
NOTHING_TO_DO = 99
SECONDS_TO_END = 5.0


def bound_to_parent(command: list[str]) -> list[str]:
    """Let the kernel kill the command when the task dies by kill -9, where it can: a retry must not meet a ghost."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command


class CommandOperator(BaseOperator):
    """`python -m <arguments>` at the repository's root; exit 99 skips the task, so its outlets ring nothing."""

    template_fields: Sequence[str] = ("arguments",)
    ui_color = "#e8f0fe"

    def __init__(self, *, arguments: Sequence[str], **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.arguments = list(arguments)
        self._child: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> None:  # noqa: ARG002
        command = [sys.executable, "-m", *self.arguments]
        self.log.info("python -m %s", " ".join(self.arguments))
        last_line = self._stream(bound_to_parent(command))
        assert self._child is not None
        code = self._child.returncode
        if code == NOTHING_TO_DO:
            raise AirflowSkipException(last_line or "nothing to do")
        if code != 0:
            raise AirflowException(f"python -m {' '.join(self.arguments)} ended with {code}: {last_line}")

    def _stream(self, command: list[str]) -> str:
        """Run to the end, every line into the log; returns the last one, which by convention gives the reason."""
        last_line = ""
        environment = child_environment(Settings(), {"PYTHONUNBUFFERED": "1"})
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._child.stdout is not None
        try:
            for line in self._child.stdout:
                last_line = line.rstrip() or last_line
                self.log.info("%s", line.rstrip())
            self._child.wait()
        finally:
            self._end()
        return last_line

    def on_kill(self) -> None:
        self._end()

    def _end(self) -> None:
        """End the command and whatever it started: politely, then not. Does nothing once they are gone."""
        if self._child is None:
            return
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, signal_number)
            except ProcessLookupError:
                break
            try:
                self._child.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                continue
