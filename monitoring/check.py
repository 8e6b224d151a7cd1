"""One check: the newest mature window against the rows that the served version was trained on.

Everything that is known is read first, judged by pure functions, and then written in one transaction: a check that
dies leaves nothing, and one that is repeated changes nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from feature_repo.contracts import serving_port
from feature_repo.contracts.base import DataInterval
from infra.database import require_database, writing
from infra.lake import Lake
from infra.settings import Settings
from monitoring.answers import Answers, read_answers, read_outcomes
from monitoring.decision import GROUPS, Judgement, judge
from monitoring.defects import Defect, SourceQuality, find_defects, read_quality
from monitoring.drift import DriftVerdict, judge_drift
from monitoring.estimate import Estimate, estimate_performance
from monitoring.incidents import raise_alarm, settle_quiet
from monitoring.package import Model, load_served_model
from monitoring.performance import PerformanceVerdict, judge_performance
from monitoring.reference import Reference, read_reference
from monitoring.results import Result, write_result
from monitoring.sample import Sample
from monitoring.served import served_version
from monitoring.spec import MonitoringSpec
from monitoring.window import immature_window, mature_window

# A version "served a full window" if it answered on this share of its days: it takes over in the middle of a day, and
# the window of the next check starts a label's delay before that.
FULL_WINDOW = 0.8


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything a check judged, before anything is written."""

    window: DataInterval
    answers: Answers
    current: Sample
    reference: Reference
    performance: PerformanceVerdict
    estimate: Estimate
    drift: DriftVerdict
    qualities: list[SourceQuality]
    defects: list[Defect]
    judgement: Judgement


def check(
    settings: Settings,
    spec: MonitoringSpec,
    *,
    now: datetime,
    load_model: Callable[[Settings, str], Model] = load_served_model,
) -> Result:
    """Judge, then write; returns what was written. Raises MonitoringError if there is nothing to judge with.

    The window's report is drawn by `monitoring.drawing`, afterwards: no decision waits for a picture.
    """
    started = time.monotonic()
    require_database(settings.database)
    version = served_version(settings, spec.contract, port=serving_port(settings.serving_port, spec.contract.name))
    reference = read_reference(settings, spec, version, load_model=load_model)
    findings = find(settings, spec, reference, now=now)
    return write(settings, spec, findings, now=now, started=started)


def find(settings: Settings, spec: MonitoringSpec, reference: Reference, *, now: datetime) -> Findings:
    """Read the window and judge it; writes nothing."""
    window = mature_window(spec.contract, spec.window, now)
    outcomes = read_outcomes(Lake(settings.root, settings.database), spec.contract, start=window.start, known_by=now)
    answers = read_answers(settings.prediction_log, spec.contract, window, outcomes)
    newest = read_answers(settings.prediction_log, spec.contract, immature_window(spec.contract, now), outcomes)
    current = answers.of_version(reference.served.version)
    performance = judge_performance(
        current, reference.held_out, reference.rows, window=spec.window, policy=spec.performance
    )
    estimate = estimate_performance(
        newest.of_version(reference.served.version), reference.held_out, policy=spec.performance
    )
    drift = judge_drift(answers.sample, reference.rows, spec=spec, weights=reference.weights)
    qualities = read_quality(settings.database, spec.contract, window)
    defects = find_defects(answers.sample, reference.rows, qualities, spec)
    return Findings(
        window=window,
        answers=answers,
        current=current,
        reference=reference,
        performance=performance,
        estimate=estimate,
        drift=drift,
        qualities=qualities,
        defects=defects,
        judgement=judge(performance, estimate, drift, defects),
    )


def served_full_window(current: Sample, spec: MonitoringSpec) -> bool:
    return len(np.unique(current.day)) >= FULL_WINDOW * spec.window.length.days


def quiet_groups(findings: Findings, spec: MonitoringSpec) -> list[str]:
    """Groups that were judged on a full window of the served version and did not alarm."""
    if findings.defects or not served_full_window(findings.current, spec):
        return []
    alarmed = {alarm.group for alarm in findings.judgement.alarms}
    if findings.performance.status == "insufficient":
        alarmed |= {"performance", "estimate"}
    if findings.drift.status == "insufficient":
        alarmed |= {"drift"} if findings.drift.columns else {"drift", "data"}
    return [group for group in GROUPS if group not in alarmed]


def write(
    settings: Settings,
    spec: MonitoringSpec,
    findings: Findings,
    *,
    now: datetime,
    started: float,
) -> Result:
    """Incidents, inbox and result in one transaction."""
    training = findings.reference.served.training_id
    with writing(settings.database) as connection:
        incidents = tuple(
            raise_alarm(
                connection,
                spec.contract.name,
                alarm,
                window=findings.window,
                served_training=training,
                now=now,
                wall=datetime.now(UTC),
            )
            for alarm in findings.judgement.alarms
        )
        settle_quiet(
            connection,
            spec.contract.name,
            quiet=quiet_groups(findings, spec),
            served_training=training,
            now=now,
        )
        result = result_of_findings(spec, findings, incidents=incidents, now=now, seconds=time.monotonic() - started)
        write_result(connection, result, findings.window)
    return result


def budget_of(spec: MonitoringSpec, findings: Findings) -> float:
    """Of what was judged: what was not could not alarm."""
    judged = ((findings.performance, spec.performance), (findings.drift, spec.drift))
    return sum(policy.budget for verdict, policy in judged if verdict.status != "insufficient")


def result_of_findings(
    spec: MonitoringSpec,
    findings: Findings,
    *,
    incidents: tuple[str, ...],
    now: datetime,
    seconds: float,
) -> Result:
    served = findings.reference.served
    return Result(
        use_case=spec.contract.name,
        checked_at=now.isoformat(),
        model_version=served.version,
        training_id=served.training_id,
        decision=findings.judgement.decision,
        reason=findings.judgement.reason,
        incidents=incidents,
        alarm_budget=budget_of(spec, findings),
        num_rows=len(findings.answers.sample),
        num_current=len(findings.current),
        rows_by_version=findings.answers.rows_by_version,
        rows_by_outcome=findings.answers.rows_by_outcome,
        num_degraded=findings.answers.degraded,
        performance=findings.performance,
        estimate=findings.estimate,
        drift=findings.drift,
        weighted_drift=findings.drift.weighted,
        weighted_drift_threshold=findings.drift.thresholds.weighted if findings.drift.thresholds else None,
        quality={quality.source: quality.score for quality in findings.qualities},
        defects=tuple(str(defect) for defect in findings.defects),
        report=None,
        seconds=seconds,
    )
