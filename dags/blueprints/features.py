"""The DAG that brings a data interval into the feature store: ingest every source, then build the features.

One task ingests every source, because loading the engine of the checks costs more than checking. A new feature changes
no DAG.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, chain

from dags.blueprints.base import asset, command, in_replay, use_case_dag
from feature_repo.contracts.base import UseCase

INTERVAL = ("--start", "{{ data_interval_start | ts }}", "--end", "{{ data_interval_end | ts }}")
DOC = """
Takes what was delivered in the run's data interval, checks it, puts bad rows into quarantine with the reason and writes
bronze, silver and gold. Running an interval again, or backfilling it, gives the same bytes.

- A red `ingest`: its last line says what, which value and what to do. Repair the delivery, then clear the task.
- Quarantined rows and the score of each interval: `python -m feature_repo quality {use_case}`.
- Backfill: trigger this DAG with a data interval, or `airflow backfill create`.
- The online store is kept by the micro-batch process, not from here.
"""


def features_dag(use_case: UseCase, *, cron: str) -> DAG:
    """Runs at the end of each interval between two ticks of `cron`, in UTC; in a replay only when it is triggered."""
    schedule = None if in_replay() else CronDataIntervalTimetable(cron, timezone="UTC")
    name = use_case.name
    with use_case_dag(use_case, "features", schedule=schedule, doc=DOC.format(use_case=name)) as dag:
        ingest = command(
            "ingest",
            ["feature_repo", "ingest", name, *use_case.sources, *INTERVAL],
            doc=f"Landing to bronze, silver and quarantine: {', '.join(use_case.sources)}.",
            timeout=timedelta(minutes=30),
        )
        build = command(
            "build",
            ["feature_repo", "build", name, *INTERVAL],
            doc="Gold: feature views, the population that could be asked, labels.",
            timeout=timedelta(hours=1),
            outlets=[asset("features", use_case)],
        )
        chain(ingest, build)
    return dag
