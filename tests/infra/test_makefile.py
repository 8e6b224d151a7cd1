"""The Makefile as a newcomer meets it, and the locks that it installs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from infra.local.processes import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
LOCKS = sorted((ROOT / "infra" / "locks").glob("*.txt"))


def test_make_alone_prints_what_can_be_made_and_changes_nothing() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {"help", "setup", "up", "demo", "test", "lint", "lock", "feast-ui"} <= set(
        re.findall(r"make (\S+)", done.stdout)
    )


def test_every_target_is_explained_and_no_recipe_is_longer_than_three_lines() -> None:
    targets = re.findall(r"^([a-z-]+):(?!=)(.*)$", MAKEFILE, re.MULTILINE)
    recipes = re.findall(r"(?:^\t.*\n?)+", MAKEFILE, re.MULTILINE)

    assert [name for name, rest in targets if "## " not in rest] == []
    assert max(recipe.count("\n\t") + 1 for recipe in recipes) <= 3


def test_no_script_of_the_environment_names_the_folder_that_it_lies_in() -> None:
    """So that a checkout may be moved or copied with its environment."""
    scripts = [path for path in Path(sys.executable).parent.iterdir() if path.is_file() and not path.is_symlink()]

    assert len(scripts) > 20
    assert [path.name for path in scripts if sys.prefix.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_has_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


def test_every_group_has_a_lock_with_the_versions_of_the_whole() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pins = {lock.stem: set(re.findall(r"^(\S+==\S+) ", lock.read_text(), re.MULTILINE)) for lock in LOCKS}

    assert set(pins) == {*groups, "all", "uv"}
    assert all(pins[group] <= pins["all"] for group in groups)
