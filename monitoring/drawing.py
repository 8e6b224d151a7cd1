"""Draws the report of every window that was judged and has none yet, and links it from the run of the version.

Apart from the check, because Evidently takes longer than the decision and must never delay it. What could not be drawn
is drawn by the next run.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx

from feature_repo.contracts.base import DataInterval, UseCase
from infra.database import writing
from infra.lake import Lake
from infra.logs import logger
from infra.settings import Settings
from monitoring.answers import Answers, read_answers, read_outcomes
from monitoring.package import Model, load_served_model
from monitoring.reference import Reference, read_reference
from monitoring.report import write_report
from monitoring.results import Result, read_results, write_result
from monitoring.spec import MonitoringSpec

LOG = logger(__name__)


def report_name(use_case: UseCase, window: DataInterval) -> str:
    return f"{use_case.name}/{window.end:%Y%m%dT%H%M%SZ}.html"


def reports_folder(settings: Settings) -> Path:
    return settings.root / "reports"


def draw_missing_reports(
    settings: Settings, spec: MonitoringSpec, *, load_model: Callable[[Settings, str], Model] = load_served_model
) -> list[str]:
    """Names of the reports drawn. A window with too few rows for a judgement of drift, or whose rows have gone from the
    log, gets none.
    """
    drawn = []
    for window, result in read_results(settings.database, spec.contract.name):
        if result.report is None and result.drift.thresholds is not None:
            answers = answers_of(settings, spec, window)
            if len(answers.sample) != result.num_rows:
                LOG.warning("report_not_drawn", window=str(window), judged=result.num_rows, left=len(answers.sample))
                continue
            reference = read_reference(settings, spec, result.model_version, load_model=load_model)
            name = draw(settings, spec, reference, window, result, answers)
            with writing(settings.database) as connection:
                write_result(connection, replace(result, report=name), window)
            link_report(settings, reference.served.run_id, window, name)
            drawn.append(name)
    return drawn


def answers_of(settings: Settings, spec: MonitoringSpec, window: DataInterval) -> Answers:
    outcomes = read_outcomes(
        Lake(settings.root, settings.database), spec.contract, start=window.start, known_by=window.end
    )
    return read_answers(settings.prediction_log, spec.contract, window, outcomes)


def draw(
    settings: Settings,
    spec: MonitoringSpec,
    reference: Reference,
    window: DataInterval,
    result: Result,
    answers: Answers,
) -> str:
    """Evidently's report of the samples that the result's drift was judged on."""
    name = report_name(spec.contract, window)
    verdicts = write_report(
        result.drift,
        reference=reference.rows.at_most(spec.drift.max_rows),
        current=answers.sample.at_most(spec.drift.max_rows),
        title=f"{spec.contract.name} v{result.model_version} {window}",
        path=reports_folder(settings) / name,
    )
    ours = {column.column: column.drifted for column in result.drift.columns}
    differing = [verdict.column for verdict in verdicts if verdict.drifted != ours[verdict.column]]
    if differing:
        LOG.error("evidently_differs", use_case=spec.contract.name, columns=differing)
    return name


def link_report(settings: Settings, run_id: str, window: DataInterval, report: str) -> None:
    """A tag on the run that made the version; a registry that is away costs the link, not the report."""
    tag = {
        "run_id": run_id,
        "key": f"drift_report.{window.end:%Y-%m-%d}",
        "value": f"{settings.url(settings.monitoring_port)}/reports/{report}",
    }
    try:
        httpx.post(
            f"{settings.mlflow_url}/api/2.0/mlflow/runs/set-tag",
            json=tag,
            auth=("flywheel", settings.secret("mlflow_password")),
            timeout=5,
            trust_env=False,
        ).raise_for_status()
    except (httpx.HTTPError, FileNotFoundError) as error:
        LOG.warning("report_not_linked", run_id=run_id, reason=str(error))
