import subprocess
import sys
from pathlib import Path

import pytest

from infra.whole_file import whole_file

KILLED = """
import os, sys
from pathlib import Path
from infra.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_readers_see_the_old_content_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "report.json") as unfinished:
            unfinished.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_after_a_kill_the_next_attempt_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, check=False).returncode == -9
    assert not path.exists()
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]
