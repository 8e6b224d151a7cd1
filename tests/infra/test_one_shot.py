"""A command ends as its `main` says, with everything written that it printed."""

import subprocess
import sys

import pytest

COMMAND = "import sys; from infra import one_shot\ndef main():\n    {}\none_shot.run(main)"


def ended(body: str) -> "subprocess.CompletedProcess[str]":
    arguments = [sys.executable, "-c", COMMAND.format(body)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, start_new_session=True)


@pytest.mark.parametrize(
    ("body", "code"),
    [("pass", 0), ("sys.exit()", 0), ("sys.exit(99)", 99), ("sys.exit('no')", 1), ("raise ValueError('no')", 1)],
)
def test_the_exit_code_is_that_of_main(body: str, code: int) -> None:
    done = ended(body)

    assert done.returncode == code
    assert ("no" in done.stderr) == ("no" in body)


def test_what_was_printed_is_written() -> None:
    assert ended("print('x' * 100_000)").stdout == "x" * 100_000 + "\n"


def test_a_command_that_gives_way_has_the_lowest_priority() -> None:
    done = ended("import os; one_shot.give_way(); print(os.nice(0))")

    assert done.stdout == "19\n", done.stderr


def test_what_a_library_registered_for_its_end_is_done() -> None:
    assert ended("import atexit; atexit.register(print, 'tidied')").stdout == "tidied\n"
