"""The DAG that brings a data interval into the feature store: ingest every source, then build the features.

One task ingests every source, because loading the engine of the checks costs more than checking. A new feature changes
no DAG. A source that another use case owns is not ingested here: the build looks whether its owner has.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, CronDataIntervalTimetable, chain

from dags.blueprints.base import NUM_RETRIES, asset, command, in_replay, source_asset, use_case_dag
from feature_repo.contracts.base import UseCase

INTERVAL = ("--start", "{{ data_interval_start | ts }}", "--end", "{{ data_interval_end | ts }}")
# A run that an asset started has no interval: the build is given none and finds what there is to build.
INTERVAL_IF_ANY = (
    *("--start", "{{ dag_run.data_interval_start | ts if dag_run.data_interval_start else '' }}"),
    *("--end", "{{ dag_run.data_interval_end | ts if dag_run.data_interval_end else '' }}"),
)
# With the pauses of base.RETRIES an hour and a half: as long as an owner's ingest may take with its own retries.
RETRIES_FOR_OWNER = 23
DOC = """
Takes what was delivered in the run's data interval, checks it, puts bad rows into quarantine with the reason and writes
bronze, silver and gold. Running an interval again, or backfilling it, gives the same bytes.

- A red `ingest`: its last line says what, which value and what to do. Repair the delivery, then clear the task.
- Quarantined rows and the score of each interval: `python -m feature_repo quality {use_case}`.
- Backfill: trigger this DAG with a data interval, or `airflow backfill create`.
- The online store is kept by the micro-batch process, not from here.
"""
DOC_OF_READS = """
- It reads {sources}: `build` fails, and is tried again, until the owner has ingested the interval. What the owner
  ingests again later is built again by a backfill of this DAG.
"""


def features_dag(use_case: UseCase, *, cron: str) -> DAG:
    """Runs at the end of each interval between two ticks of `cron`, in UTC; in a replay only when it is triggered.

    A use case without a source of its own has nothing to ingest; it is woken by what it reads as well, in a replay too.
    """
    name, schedule = use_case.name, schedule_of(use_case, cron)
    with use_case_dag(use_case, "features", schedule=schedule, doc=doc_of(use_case)) as dag:
        build = command(
            "build",
            ["feature_repo", "build", name, *(INTERVAL if use_case.sources else INTERVAL_IF_ANY)],
            doc="Gold: feature views, the population that could be asked, labels.",
            timeout=timedelta(hours=1),
            outlets=[asset("features", use_case)],
            retries=RETRIES_FOR_OWNER if use_case.reads else NUM_RETRIES,
        )
        if use_case.sources:
            ingest = command(
                "ingest",
                ["feature_repo", "ingest", name, *use_case.sources, *INTERVAL],
                doc=f"Landing to bronze, silver and quarantine: {', '.join(use_case.sources)}.",
                timeout=timedelta(minutes=30),
                outlets=[source_asset(source) for source in use_case.sources],
            )
            chain(ingest, build)
    return dag


def schedule_of(use_case: UseCase, cron: str) -> Any:  # noqa: ANN401
    by_time = None if in_replay() else CronDataIntervalTimetable(cron, timezone="UTC")
    if use_case.sources:
        return by_time
    read = AssetAny(*(source_asset(shared.name) for shared in use_case.reads))
    return AssetOrTimeSchedule(assets=read, timetable=by_time) if by_time else read


def doc_of(use_case: UseCase) -> str:
    read = ", ".join(f"`{shared.name}` of {shared.owner}" for shared in use_case.reads)
    return DOC.format(use_case=use_case.name) + (DOC_OF_READS.format(sources=read) if read else "")
