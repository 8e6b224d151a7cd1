"""A process that fits the open training of a folder and, on request, dies or waits within a call to MLflow.

`python -m tests.training.fitter ROOT SHARED [die before|after CALL | meet NAME COUNT | meet-blind NAME COUNT]`
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from infra.settings import Settings
from tests.training import winter
from training.control import the_open_training
from training.fitting import fit_and_register


class Mortal(MlflowClient):
    """MLflow's client, killed with its process just before or after the first call of one of its methods."""

    def __init__(self, uri: str, when: str, call: str) -> None:
        super().__init__(uri)
        original = getattr(self, call)

        def struck(*arguments: Any, **named: Any) -> None:  # noqa: ANN401
            if when == "after":
                original(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(self, call, struck)


class Punctual(MlflowClient):
    """MLflow's client, whose registration waits until all the others are about to register too."""

    def __init__(self, uri: str, folder: Path, name: str, count: int) -> None:
        super().__init__(uri)
        self.folder, self.name, self.count = folder, name, count

    def create_model_version(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        (self.folder / f"{self.name}.here").touch()
        deadline = time.monotonic() + 90
        while len(list(self.folder.glob("*.here"))) < self.count and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().create_model_version(*arguments, **named)


class Blind(Punctual):
    """One that is never shown what another run registered, so that the rule of one version has nothing to go by."""

    def __init__(self, uri: str, folder: Path, name: str, count: int) -> None:
        super().__init__(uri, folder, name, count)
        self.own_runs: set[str] = set()

    def search_model_versions(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        found = super().search_model_versions(*arguments, **named)
        return [version for version in found if version.run_id in self.own_runs]

    def create_run(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        run = super().create_run(*arguments, **named)
        self.own_runs.add(run.info.run_id)
        return run


def client_for(shared: Path, behaviour: list[str]) -> MlflowClient:
    uri = f"sqlite:///{shared}/mlflow.db"
    match behaviour:
        case ["die", when, call]:
            return Mortal(uri, when, call)
        case ["meet", name, count]:
            return Punctual(uri, shared, name, int(count))
        case ["meet-blind", name, count]:
            return Blind(uri, shared, name, int(count))
    return MlflowClient(uri)


def main() -> None:
    root, shared, *behaviour = sys.argv[1:]
    settings = Settings(data_dir=Path(root))
    training = the_open_training(settings.database, winter.NAME)
    version = fit_and_register(settings, client_for(Path(shared), behaviour), winter.SPEC, training)
    print(version.version)


if __name__ == "__main__":
    main()
