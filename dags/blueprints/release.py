"""The DAG that makes a challenger the champion: beside a person, the only one that sets that alias."""

from datetime import timedelta

from airflow.sdk import DAG

from dags.blueprints.base import asset, command, on_asset_or_time, use_case_dag
from feature_repo.contracts.base import UseCase

DOC = """
Sets the alias `champion` and waits until the service answers with that version.

- Promote or roll back by hand: set the alias `champion` in the MLflow UI; the service follows it within seconds.
- A version that the service refuses keeps the old one serving; its tag `refused` in MLflow says why.
"""


def release_dag(use_case: UseCase, *, reconcile_cron: str) -> DAG:
    schedule = on_asset_or_time(asset("challenger", use_case), reconcile_cron)
    with use_case_dag(use_case, "release", schedule=schedule, doc=DOC) as dag:
        command(
            "release",
            ["serving", "release", use_case.name],
            doc="Alias `champion`, then the served version is seen.",
            timeout=timedelta(minutes=10),
        )
    return dag
