"""Resolves every dependency group together once, then writes one lock per group with the same versions.

Together, because one process's upgrade must never drift away from another's: each image installs only its own lock,
and a laptop installs `all.txt`. Standard library only: it runs before anything is installed.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

LOCKS = Path("infra/locks")
FORM = ("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet")


def compile_lock(uv: str, lock: Path, arguments: list[str]) -> None:
    """Write `lock` for the platform that this runs on. Raises CalledProcessError after uv said why."""
    command = [uv, "pip", "compile", "pyproject.toml", "--python-version", "3.11", *FORM, *arguments]
    # uv writes to the file by itself and prefers the versions that stand in it.
    subprocess.run([*command, "--output-file", str(lock)], check=True, stdout=subprocess.DEVNULL)
    assert "://" not in lock.read_text(), f"{lock} must not hold addresses"


def write_locks(uv: str, *, upgrade: bool) -> None:
    groups = list(tomllib.loads(Path("pyproject.toml").read_text())["dependency-groups"])
    together = LOCKS / "all.txt"
    selection = [argument for group in groups for argument in ("--group", group)]
    compile_lock(uv, together, [*selection, *(["--upgrade"] if upgrade else [])])
    for group in groups:
        lock = LOCKS / f"{group}.txt"
        lock.unlink(missing_ok=True)
        compile_lock(uv, lock, ["--group", group, "--constraints", str(together)])
        print(f"{lock}: {lock.read_text().count('==')} packages")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", required=True, help="path of the uv program")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    options = parser.parse_args()
    try:
        write_locks(options.uv, upgrade=options.upgrade)
    except subprocess.CalledProcessError as error:
        sys.exit(f"the locks were not written completely: uv ended with {error.returncode}; its reason stands above")
