"""What the database names of a Delta table is on the disk before: the library leaves that to the system."""

import json
import os
from pathlib import Path


def make_durable(folder: Path, after: int, version: int) -> None:
    """The files that `version` added, and what the log got since `after`: it is read from there on, or from before."""
    log = folder / "_delta_log"
    commits = [log / f"{number:020}.json" for number in range(after + 1, version + 1)]
    checkpoints = [log / f"{number:020}.checkpoint.parquet" for number in range(after + 1, version + 1)]
    files = [folder / path for commit in commits[-1:] for path in added_by(commit)]
    present = [path for path in (*checkpoints, log / "_last_checkpoint") if path.exists()]
    flush({folder, log, *commits, *present, *files, *(file.parent for file in files)})


def make_checkpoint_durable(folder: Path, version: int) -> None:
    log = folder / "_delta_log"
    flush({log, log / f"{version:020}.checkpoint.parquet", log / "_last_checkpoint"})


def added_by(commit: Path) -> list[str]:
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    return [action["add"]["path"] for action in actions if "add" in action]


def flush(paths: set[Path]) -> None:
    for path in sorted(paths):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
