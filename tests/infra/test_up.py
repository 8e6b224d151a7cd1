"""The commands of an installation that was never made: one sentence that says what to run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.test_demo import ROOT, environment_of


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("infra.local.up", "up: no secret airflow_password in"),
        ("infra.local.feast_ui", "feast-ui: no feature registry"),
    ],
)
def test_an_installation_that_was_never_made_is_a_sentence(tmp_path: Path, command: str, words: str) -> None:
    line, environment = [sys.executable, "-m", command], environment_of(tmp_path / "var")
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(words)
    assert "run `make setup` first" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()
