"""The DAG that makes a challenger: admit, point-in-time training set, fit, gate.

The event that starts it carries nothing: `admit` claims what waits in the inbox, in one transaction.
"""

from datetime import timedelta

from airflow.sdk import DAG, chain

from dags.blueprints.base import asset, command, on_asset_or_time, use_case_dag
from feature_repo.contracts.base import UseCase

DOC = """
- `admit` skips the run, with its reason, while a cool-down, the budget, the pause switch or a data defect forbids it.
- `fit` keeps checkpoints: clear it after a crash and it goes on where it was.
- `gate` sets the alias `challenger`, or skips; the version's tags in MLflow say why.
- Pause the loop: `python -m training pause {use_case} --reason TEXT`; go on: `python -m training resume {use_case}`.
- Train by hand: `python -m training admit {use_case} --requested REASON`, then trigger this DAG.
"""


def training_dag(use_case: UseCase, *, reconcile_cron: str) -> DAG:
    schedule = on_asset_or_time(asset("retrain", use_case), reconcile_cron)
    name = use_case.name
    with use_case_dag(use_case, "training", schedule=schedule, doc=DOC.format(use_case=name)) as dag:
        admit = command(
            "admit",
            ["training", "admit", name],
            doc="Claims the inbox and opens the use case's one training.",
            timeout=timedelta(minutes=2),
        )
        dataset = command(
            "dataset",
            ["training", "dataset", name],
            doc="The point-in-time training set, kept with its digest.",
            timeout=timedelta(minutes=30),
        )
        fit = command(
            "fit",
            ["training", "fit", name],
            doc="Torch, ONNX, evaluation, the registered and signed version.",
            timeout=timedelta(hours=6),
        )
        gate = command(
            "gate",
            ["training", "gate", name],
            doc="Challenger against the served champion, on the same rows.",
            timeout=timedelta(minutes=30),
            outlets=[asset("challenger", use_case)],
        )
        chain(admit, dataset, fit, gate)
    return dag
