"""The DAG that judges what was answered: labels, drift, performance, the decision, whether to ask for a retraining."""

from datetime import timedelta

from airflow.sdk import DAG, chain

from dags.blueprints.base import asset, command, on_asset_or_time, use_case_dag
from feature_repo.contracts.base import UseCase

DOC = """
Joins mature labels with the prediction log, judges skill and drift and writes one result per window. An alarm opens an
incident; one that a retraining can answer is also an entry of the inbox.

- `ask` is skipped when nothing waits in the inbox; then `retrain/{use_case}` does not ring.
- `report` draws Evidently's report beside `ask`: an alarm does not wait for a picture. It is skipped when no window
  waits for one.
- It also runs by time: a lost event delays a check, it does not lose one.
"""


def monitoring_dag(use_case: UseCase, *, reconcile_cron: str) -> DAG:
    schedule = on_asset_or_time(asset("features", use_case), reconcile_cron)
    with use_case_dag(use_case, "monitoring", schedule=schedule, doc=DOC.format(use_case=use_case.name)) as dag:
        check = command(
            "check",
            ["monitoring", "check", use_case.name],
            doc="Labels, drift, performance, the decision and its reason.",
            timeout=timedelta(minutes=30),
        )
        ask = command(
            "ask",
            ["monitoring", "ask", use_case.name],
            doc="Rings `retrain` if an entry of the inbox is unclaimed.",
            timeout=timedelta(minutes=2),
            outlets=[asset("retrain", use_case)],
        )
        report = command(
            "report",
            ["monitoring", "report", use_case.name],
            doc="Evidently's report of the window, linked from the version's MLflow run.",
            timeout=timedelta(minutes=30),
        )
        chain(check, [ask, report])
    return dag
