"""A training's folder, `<data>/trainings/<training_id>/`: what each step leaves for the next one.

Files are replaced atomically, and one command at a time works in a folder: a second one waits, and then finds the work
done. The lock is the kernel's, so that it ends with its process, also after kill -9.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.whole_file import whole_file


@dataclass(frozen=True)
class Workspace:
    folder: Path

    @classmethod
    def of(cls, data_dir: Path, training_id: str) -> "Workspace":
        folder = cls.folder_of(data_dir, training_id)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    @staticmethod
    def folder_of(data_dir: Path, training_id: str) -> Path:
        return data_dir / "trainings" / training_id

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.parquet"

    @property
    def dataset_facts(self) -> Path:
        return self.folder / "dataset.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits for another process that works here."""
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_json(path: Path, value: object) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
