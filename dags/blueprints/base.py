"""What the DAGs of every use case share: their names, assets, retries and the way they are woken.

An asset event is a hint that may be lost (two in one tick of the scheduler start one run, a crash between a task's end
and its event starts none), so every DAG behind an asset also runs by time and reads the state itself.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable

from dags.blueprints.command import CommandOperator
from feature_repo.contracts.base import UseCase
from infra.clock import EPOCH
from infra.settings import Settings

NUM_RETRIES = 2
RETRIES = {
    "retries": NUM_RETRIES,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}


def asset(subject: str, use_case: UseCase) -> Asset:
    """`features`, `retrain` or `challenger` of a use case."""
    return asset_named(f"{subject}/{use_case.name}")


def source_asset(source: str) -> Asset:
    """What the owner of a source has ingested of it; a source's name is unique in an installation."""
    return asset_named(f"source/{source}")


def asset_named(name: str) -> Asset:
    return Asset(name=name, uri=f"flywheel://{name}")


def in_replay() -> bool:
    """Whether time is replayed: then who replays it starts the runs, since the scheduler knows only wall time."""
    return Settings().clock_address != "system"


def on_asset_or_time(hint: Asset, cron: str) -> Any:  # noqa: ANN401
    """Wake on `hint` at once, and by `cron` in case it was lost."""
    if in_replay():
        return [hint]
    return AssetOrTimeSchedule(assets=[hint], timetable=CronTriggerTimetable(cron, timezone="UTC"))


def use_case_dag(use_case: UseCase, stage: str, *, schedule: Any, doc: str) -> DAG:  # noqa: ANN401
    """An empty DAG `<use case>__<stage>`; one run at a time, since the stages of a use case share its state."""
    return DAG(
        dag_id=f"{use_case.name}__{stage}",
        description=f"{stage}: {use_case.description}",
        doc_md=f"## {use_case.name}: {stage}\n\n{use_case.description}\n\n{doc}\n\nOwner: {use_case.owner}",
        schedule=schedule,
        start_date=EPOCH,
        catchup=False,
        max_active_runs=1,
        tags={use_case.name, stage, use_case.owner},
        default_args={"owner": use_case.owner, **RETRIES},
    )


def command(
    task_id: str,
    arguments: Sequence[str],
    *,
    doc: str,
    timeout: timedelta,
    outlets: Sequence[Asset] = (),
    retries: int = NUM_RETRIES,
) -> CommandOperator:
    """A task of the DAG in whose `with` block this is called."""
    return CommandOperator(
        task_id=task_id,
        arguments=arguments,
        doc_md=doc,
        execution_timeout=timeout,
        outlets=list(outlets),
        retries=retries,
    )
