"""The operator runs a real process each time."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from dags.blueprints.command import CommandOperator

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA_DIR", str(tmp_path))


def operator(code: str, text: str) -> CommandOperator:
    return CommandOperator(task_id="tiny", arguments=["tests.dags.tiny_command", code, text])


def logged(output: str) -> list[str]:
    """The messages in what Airflow's logger printed, without time, level and place."""
    return [re.sub(r"^\S+ \[\w+ *\] (.*?) *\[airflow\.task\..*$", r"\1", line) for line in output.splitlines()]


def test_output_goes_to_the_tasks_log_line_by_line(capfd: pytest.CaptureFixture[str]) -> None:
    operator("0", "first\nsecond").execute({})

    assert logged(capfd.readouterr().out)[-2:] == ["first", "second"]


def test_arguments_are_never_read_by_a_shell(capfd: pytest.CaptureFixture[str]) -> None:
    operator("0", "$(id); `id` | id").execute({})

    assert logged(capfd.readouterr().out)[-1] == "$(id); `id` | id"


def test_exit_99_skips_with_the_last_line_as_reason() -> None:
    with pytest.raises(AirflowSkipException, match="cooling down"):
        operator("99", "cooling down").execute({})


def test_any_other_exit_fails_with_command_code_and_reason() -> None:
    with pytest.raises(AirflowException, match=r"tiny_command.*ended with 1: column tail_number is gone"):
        operator("1", "column tail_number is gone").execute({})


def test_a_killed_task_leaves_nothing_of_its_command(tmp_path: Path) -> None:
    task = operator("stay", str(tmp_path / "pid"))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(task.execute, {})
        pid = until(lambda: (tmp_path / "pid").exists() and int((tmp_path / "pid").read_text() or 0))
        task.on_kill()

        assert isinstance(running.exception(30), AirflowException)
    until(lambda: has_ended(pid))


def until(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def has_ended(pid: int) -> bool:
    """Gone, or ended and not yet collected by whoever inherited it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z" in stat.read_text()
