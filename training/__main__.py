"""`python -m training`: one command per step of a training, each finding its own place in the one that is open.

Exit codes: 0 done, 99 refused or nothing to do, 1 an error, said in one line. A command imports what it needs when it
runs: admission is asked often and must not wait for torch.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from feature_repo.contracts import use_case_named
from feature_repo.contracts.control import TrainingState
from infra import one_shot
from infra.database import DatabaseError, reading
from infra.logs import configure_logs
from infra.settings import Settings, let_waiting_threads_sleep
from training import admission
from training.control import Training, end, the_open_training, trainings
from training.errors import Refused, TrainingError, UnfitData
from training.spec import TrainingSpec
from training.workspace import Workspace

if TYPE_CHECKING:
    from feast import FeatureStore
    from mlflow import MlflowClient

    from infra.lake import Snapshot

REFUSED = 99
app = typer.Typer(help="Training: from an alarm to a challenger.", no_args_is_help=True, pretty_exceptions_enable=False)
UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE", help="a name in feature_repo/contracts")]
Reason = Annotated[str, typer.Option(help="why; kept and shown")]


def spec_named(name: str) -> TrainingSpec:
    """The declaration in `training/use_cases/<name>.py`. Raises ValueError, with the names there are."""
    module = importlib.import_module(f"training.use_cases.{use_case_named(name).name}")
    spec: TrainingSpec = module.TRAINING
    return spec


@contextmanager
def one_open(settings: Settings, use_case: str) -> Iterator[Training]:
    """The open training, read again once its folder is ours."""
    training = the_open_training(settings.database, use_case)
    with Workspace.of(settings.root, training.training_id).locked():
        yield the_open_training(settings.database, use_case)


@contextmanager
def mlflow_client(settings: Settings) -> Iterator["MlflowClient"]:
    """Raises TrainingError for what MLflow's own client raises."""
    settings.use_mlflow()
    from training.mlflow_sdk import MlflowClient, MlflowException

    try:
        yield MlflowClient()
    except MlflowException as error:
        raise TrainingError(f"the MLflow server at {settings.mlflow_url}: {error.message}") from error


def feature_store(settings: Settings, use_case: str, gold: "Snapshot") -> "FeatureStore":
    from feature_repo.offline import open_feature_store

    return open_feature_store(settings, {use_case: gold})


@app.command()
def admit(
    use_case: UseCaseName,
    bootstrap: Annotated[bool, typer.Option("--bootstrap", help="train the first model, without an alarm")] = False,
    requested: Annotated[str | None, typer.Option(metavar="REASON", help="train because a person asks for it")] = None,
) -> None:
    """Claim the inbox and open a training, or go on with the open one; prints its id."""
    settings = Settings()
    opened = admission.admit(
        settings.database,
        spec_named(use_case),
        now=settings.make_clock().now(),
        wall=datetime.now(UTC),
        bootstrap=bootstrap,
        requested=requested,
    )
    typer.echo(opened.training_id)


@app.command()
def dataset(use_case: UseCaseName) -> None:
    """Build and keep the point-in-time training set of the open training; prints its digest."""
    settings, spec = Settings(), spec_named(use_case)
    from infra.lake import Lake, use_case_group
    from training.dataset import build_dataset, keep_gold

    lake = Lake(settings.root, settings.database)
    with one_open(settings, use_case) as training, lake.open(use_case_group(use_case)) as gold:
        try:
            keep_gold(lake, gold, training, data_dir=settings.root)
            open_store = partial(feature_store, settings, use_case, gold)
            facts = build_dataset(open_store, spec, training, gold, data_dir=settings.root)
        except UnfitData as error:
            now = settings.make_clock().now()
            end(settings.database, training.training_id, TrainingState.REFUSED, str(error), now=now)
            raise
    typer.echo(facts.digest)


@app.command()
def fit(use_case: UseCaseName) -> None:
    """Train, export, evaluate, sign and register; goes on where a killed one stopped. Prints the version."""
    settings, spec = Settings(), spec_named(use_case)
    let_waiting_threads_sleep()
    from training.fitting import fit_and_register

    with one_open(settings, use_case) as training, mlflow_client(settings) as client:
        typer.echo(fit_and_register(settings, client, spec, training).version)


@app.command()
def gate(use_case: UseCaseName) -> None:
    """Compare the new version with what is served; sets the alias `challenger`, or refuses with 99."""
    settings, spec = Settings(), spec_named(use_case)
    from training.gate import put_before_gate
    from training.promotion import Verdict

    with one_open(settings, use_case) as training, mlflow_client(settings) as client:
        decision = put_before_gate(settings, client, spec, training, now=settings.make_clock().now())
    if decision.verdict is not Verdict.PASSED:
        raise Refused(f"version {training.model_version} does not pass: {decision.reason}")
    typer.echo(f"version {training.model_version} passes: {decision.reason}")


@app.command()
def pause(use_case: UseCaseName, reason: Reason) -> None:
    """Admit no training until `resume`; one that is open goes on."""
    switch(use_case, paused=True, reason=reason)


@app.command()
def resume(use_case: UseCaseName, reason: Reason = "") -> None:
    """Admit trainings again."""
    switch(use_case, paused=False, reason=reason)


def switch(use_case: str, *, paused: bool, reason: str) -> None:
    database = Settings().database
    admission.switch(database, use_case_named(use_case).name, paused=paused, reason=reason, wall=datetime.now(UTC))


@app.command()
def abandon(use_case: UseCaseName, reason: Reason) -> None:
    """Give up the open training, so that another may be admitted; its incidents say why."""
    admission.check_reason(reason)
    settings = Settings()
    training = the_open_training(settings.database, use_case)
    now = settings.make_clock().now()
    end(settings.database, training.training_id, TrainingState.FAILED, reason, now=now)


@app.command(name="trainings")
def list_trainings(use_case: UseCaseName) -> None:
    """A line per training, the newest first: when, id, state, version, reason, and what came of it."""
    with reading(Settings().database) as connection:
        found = trainings(connection, use_case_named(use_case).name)
    if not found:
        typer.echo(f"{use_case}: no training was admitted yet")
    for each in found:
        version = f"v{each.model_version}" if each.model_version else "-"
        outcome = f"  ->  {each.outcome}" if each.outcome else ""
        identity = f"{each.admitted_at.isoformat()}  {each.training_id}  {each.state}  {version}"
        typer.echo(f"{identity}  {each.reason}{outcome}")


def run(command: Callable[[], object]) -> int:
    try:
        command()
    except Refused as refusal:
        typer.echo(str(refusal), err=True)
        return REFUSED
    except (TrainingError, DatabaseError, ValueError, OSError) as error:
        typer.echo(f"error: {one_shot.sentence_of(error)}", err=True)
        return 1
    return 0


def main() -> None:
    configure_logs("training")
    sys.exit(run(app))


if __name__ == "__main__":
    one_shot.run(main)
