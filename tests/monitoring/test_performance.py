"""Scores against their textbook values; a drop of skill is noticed, a harder season is not, nor is chance."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from monitoring.performance import judge_performance, score, skills
from monitoring.sample import Sample
from monitoring.spec import WindowPolicy
from tests.monitoring.world import DAY, SPEC, START, draw


def status_of(seed: int, *, shift: float = 0.0, decay: float = 0.0, rows_per_day: int = 250) -> str:
    reference = draw(0, num_days=60, rows_per_day=250)
    held_out = reference.where(reference.day >= reference.day.max() - 28)
    current = draw(seed, num_days=14, rows_per_day=rows_per_day, first=START + 60 * DAY, shift=shift, decay=decay)
    return judge_performance(
        current, held_out, reference, window=SPEC.window, policy=SPEC.performance, seed=seed
    ).status


def test_scores_are_those_of_scikit_learn() -> None:
    sample = draw(1, num_days=3, rows_per_day=400)
    rounded = np.round(sample.probability, 2)
    sample = type(sample)(**{**sample.__dict__, "probability": rounded})
    scores = score(sample)
    assert scores.auc == pytest.approx(roc_auc_score(sample.label, rounded))
    assert scores.log_loss == pytest.approx(log_loss(sample.label, rounded))
    assert scores.brier == pytest.approx(brier_score_loss(sample.label, rounded))


def test_false_alarms_stay_near_the_budget() -> None:
    alarms = sum(status_of(seed) == "dropped" for seed in range(1, 79))
    assert alarms <= 7  # 78 windows at 1/26: 3 expected, 7 is the 97.5 % quantile


def test_lost_skill_is_noticed() -> None:
    assert [status_of(seed, decay=0.5) for seed in range(1, 6)] == ["dropped"] * 5


def test_a_season_with_more_positives_is_no_loss_of_skill() -> None:
    assert [status_of(seed, shift=0.5) for seed in range(1, 6)] == ["steady"] * 5


def test_small_windows_are_insufficient() -> None:
    assert status_of(1, decay=1.0, rows_per_day=20) == "insufficient"


def test_a_window_of_one_class_has_no_skill() -> None:
    rows, losses = np.array([10.0, 10.0, 10.0]), np.array([1.0, 1.0, 1.0])

    found = skills(np.stack([rows, np.array([0.0, 5.0, 10.0]), losses], axis=1))

    assert np.isnan(found).tolist() == [True, False, True]


def with_label(sample: Sample, label: float) -> Sample:
    return replace(sample, label=np.full(len(sample), label))


REFERENCE = draw(0, num_days=60, rows_per_day=100)
HELD_OUT = REFERENCE.where(REFERENCE.day >= REFERENCE.day.max() - 28)
ONE_DAY = REFERENCE.where(REFERENCE.day == REFERENCE.day.min())
NOTHING = REFERENCE.where(np.zeros(len(REFERENCE), bool))
TOO_LITTLE: dict[str, tuple[Sample, Sample, str]] = {
    "held-out rows of one class": (with_label(HELD_OUT, 0), REFERENCE, "one class only in 2900 held-out rows"),
    "a reference of one class": (HELD_OUT, with_label(REFERENCE, 1), "how far skill varies"),
    "a reference without labels": (HELD_OUT, with_label(REFERENCE, np.nan), "how far skill varies"),
    "a reference of one day": (ONE_DAY, ONE_DAY, "how far skill varies"),
    "no reference": (NOTHING, NOTHING, "0 held-out rows on 0 days"),
}


@pytest.mark.parametrize(("held_out", "everything", "words"), TOO_LITTLE.values(), ids=TOO_LITTLE.keys())
def test_a_reference_that_tells_nothing_is_a_finding_with_its_reason(
    held_out: Sample, everything: Sample, words: str
) -> None:
    current = draw(1, num_days=14, rows_per_day=100, first=START + 60 * DAY)
    window = replace(SPEC.window, min_rows=1, min_days=1)
    verdict = judge_performance(current, held_out, everything, window=window, policy=SPEC.performance)
    assert (verdict.status, verdict.threshold, verdict.drop) == ("insufficient", None, None)
    assert words in verdict.reason
    assert verdict.scores == score(current), "what the window itself showed is kept"


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan], ids=["all negative", "all positive", "none known"])
def test_a_window_whose_labels_are_all_alike_is_no_verdict(label: float) -> None:
    current = with_label(draw(1, num_days=14, rows_per_day=100, first=START + 60 * DAY), label)
    verdict = judge_performance(current, HELD_OUT, REFERENCE, window=SPEC.window, policy=SPEC.performance)
    assert verdict.status == "insufficient"
    assert ("0 labelled rows" if np.isnan(label) else "one class only in 1400 labelled rows") in verdict.reason


@pytest.mark.parametrize(
    "policy",
    [{"min_rows": 0}, {"min_days": 0}, {"length": timedelta(hours=12)}, {"length": DAY, "min_days": 3}],
    ids=["no row", "no day", "no whole day", "more days than there are"],
)
def test_a_window_that_nothing_could_judge_is_not_declared(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no window of"):
        WindowPolicy(**policy)
