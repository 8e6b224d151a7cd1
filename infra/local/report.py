"""What a demo was worth, by fortnight: recomputed from its files and written as `report.json`.

AUC and log loss of the loop and of the frozen first model are over the same answers: live ones with a label. A round's
failed requests are all that failed, also those sent while its workflows ran.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.contracts.control import Cause, TrainingState
from infra.clock import from_microseconds
from infra.local import evidence
from infra.local.evidence import Failure, Judgement, Places, ReleasedVersion, TrainingOutcome
from infra.local.ledger import Round
from infra.local.scores import Floats, area_under_curve, mean_log_loss
from infra.whole_file import whole_file

ALARMS = (Cause.PERFORMANCE, Cause.DRIFT)
WON, LOST = {TrainingState.PASSED}, {TrainingState.GATE_REFUSED}
SETTLING_SECONDS = 10  # a request that fails this soon after a version began to serve counts against its release


@dataclass(frozen=True, kw_only=True)
class Interval:
    start: str
    end: str
    predictions: int
    failed_requests: int
    auc: float | None
    log_loss: float | None
    frozen_auc: float | None
    frozen_log_loss: float | None
    drift: float | None
    decision: str | None
    versions: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Paired difference of log loss, champion minus challenger, with its interval and the least that counts."""

    difference: float | None
    low: float | None
    high: float | None
    minimum: float | None


@dataclass(frozen=True, kw_only=True)
class Release:
    incident: str | None
    run: str | None
    version: str
    gate: Gate
    alias_set_at: str
    served_at: str | None
    failed_requests: int


@dataclass(frozen=True, kw_only=True)
class Parity:
    compared: int
    mismatched: int


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """An alarm is called false if the training that it started did not beat the served version.

    `windows` are those that could be judged; `false` is None if there was none.
    """

    alarms: int
    false: int | None
    windows: int
    budget_per_window: float | None


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The five numbers; times are wall time, medians over the releases that an alarm asked for."""

    alarm_to_serving_seconds: float | None
    failed_requests_per_promotion: float | None
    false_alarms: FalseAlarms
    mismatch_share: float | None
    retrainings_that_won_share: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    duration_seconds: float
    intervals: tuple[Interval, ...]
    releases: tuple[Release, ...]
    parity: Parity
    numbers: Numbers

    def write(self, path: Path) -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text(json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")


def make_report(places: Places, parity: Parity, *, duration_seconds: float) -> Report:
    """Recompute everything from the demo's files."""
    answers, failures = evidence.read_answers(places), evidence.read_failures(places)
    judgements, released = evidence.read_judgements(places), evidence.read_releases(places)
    trainings = evidence.read_trainings(places)
    asked_for = [release for release in released if release.cause in ALARMS]
    return Report(
        duration_seconds=round(duration_seconds, 1),
        intervals=tuple(make_interval(each, answers, failures, judgements) for each in evidence.read_rounds(places)),
        releases=tuple(make_release(release, failures) for release in released),
        parity=parity,
        numbers=make_numbers(
            asked_for,
            failures,
            parity,
            trainings,
            [judgement for judgement in judgements if judgement.says_something],
            num_requests=sum(evidence.count_requests(places, *span_of(release)) for release in asked_for),
        ),
    )


def make_interval(
    round_: Round, answers: pa.Table, failures: Sequence[Failure], judgements: Sequence[Judgement]
) -> Interval:
    """The round's answers and failures, and the last judgement whose window ended in it."""
    own = answers.filter(pc.equal(answers["round"], round_.number))
    labelled = own.filter(pc.is_valid(own["label"]))
    label, loop = numbers(labelled, "label"), numbers(labelled, "probability")
    scored = labelled.filter(pc.is_valid(labelled["frozen"]))
    frozen_label, frozen = numbers(scored, "label"), numbers(scored, "frozen")
    judged = [judgement for judgement in judgements if round_.start < judgement.window_end <= round_.end]
    return Interval(
        start=round_.start.isoformat(),
        end=round_.end.isoformat(),
        predictions=own.num_rows,
        failed_requests=sum(failure.round == round_.number for failure in failures),
        auc=area_under_curve(label, loop),
        log_loss=mean_log_loss(label, loop),
        frozen_auc=area_under_curve(frozen_label, frozen),
        frozen_log_loss=mean_log_loss(frozen_label, frozen),
        drift=judged[-1].drift if judged else None,
        decision=judged[-1].decision if judged else None,
        versions=dict(sorted(Counter(own["model_version"].to_pylist()).items(), key=lambda item: by_number(item[0]))),
    )


def numbers(rows: pa.Table, column: str) -> Floats:
    values: Floats = rows.column(column).to_numpy().astype(np.float64)
    return values


def by_number(version: str) -> tuple[int, str]:
    return (int(version) if version.isdigit() else 0), version


def make_release(release: ReleasedVersion, failures: Sequence[Failure]) -> Release:
    served = release.served_at_wall
    return Release(
        incident=release.incident,
        run=release.run,
        version=release.version,
        gate=Gate(**{name: release.gate.get(name) for name in ("difference", "low", "high", "minimum")}),
        alias_set_at=from_microseconds(release.alias_set_at_wall).isoformat(),
        served_at=None if served is None else from_microseconds(served).isoformat(),
        failed_requests=failed_during(release, failures),
    )


def failed_during(release: ReleasedVersion, failures: Sequence[Failure]) -> int:
    """Requests that failed while the release went on."""
    begun, ended = span_of(release)
    return sum(begun <= failure.sent_at_wall <= ended for failure in failures)


def span_of(release: ReleasedVersion) -> tuple[int, float]:
    """From the setting of the alias until shortly after the version served (or for ever, if it never did)."""
    served = release.served_at_wall
    return release.alias_set_at_wall, float("inf") if served is None else served + SETTLING_SECONDS * 1_000_000


def make_numbers(
    asked_for: Sequence[ReleasedVersion],
    failures: Sequence[Failure],
    parity: Parity,
    trainings: Sequence[TrainingOutcome],
    judgements: Sequence[Judgement],
    *,
    num_requests: int,
) -> Numbers:
    """Of the releases that alarms asked for, during which `num_requests` were sent, and of the windows judged."""
    waits = [
        (release.served_at_wall - release.alarmed_at_wall) / 1e6
        for release in asked_for
        if release.served_at_wall is not None and release.alarmed_at_wall is not None
    ]
    ended = [training for training in trainings if training.cause in ALARMS and training.state in WON | LOST]
    num_lost = sum(training.state in LOST for training in ended)
    promotions = [failed_during(release, failures) for release in asked_for]
    return Numbers(
        alarm_to_serving_seconds=median(waits) if waits else None,
        failed_requests_per_promotion=share(sum(promotions), len(promotions)) if num_requests else None,
        false_alarms=FalseAlarms(
            alarms=len(ended),
            false=num_lost if judgements or ended else None,
            windows=len(judgements),
            budget_per_window=share(sum(each.budget or 0.0 for each in judgements), len(judgements)),
        ),
        mismatch_share=share(parity.mismatched, parity.compared),
        retrainings_that_won_share=share(len(ended) - num_lost, len(ended)),
    )


def share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
