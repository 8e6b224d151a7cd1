"""Scores against their textbook values; a drop of skill is noticed, a harder season is not, nor is chance."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from monitoring.performance import judge_performance, score, skills
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
