"""What unlabelled answers expect of themselves, and when there is too little to compare it with."""

from dataclasses import replace

import numpy as np
import pytest

from monitoring.estimate import estimate_performance
from monitoring.sample import Sample
from tests.monitoring.world import DAY, SPEC, START, draw

HELD_OUT = draw(0, num_days=28, rows_per_day=100)
CURRENT = draw(1, num_days=3, rows_per_day=100, first=START + 60 * DAY)


def labelled_on(num_days: int) -> Sample:
    """The held-out rows with labels on the first days only."""
    known = HELD_OUT.day < HELD_OUT.day.min() + num_days
    return replace(HELD_OUT, label=np.where(known, HELD_OUT.label, np.nan))


def test_answers_like_the_references_raise_no_suspicion() -> None:
    estimate = estimate_performance(CURRENT, HELD_OUT, policy=SPEC.performance)
    assert estimate.expected_skill is not None
    assert not estimate.suspicious


@pytest.mark.parametrize("num_days", [0, 1, 9], ids=["no label", "labels of one day", "labels of few days"])
def test_held_out_rows_with_too_few_labels_are_a_finding_with_its_reason(num_days: int) -> None:
    estimate = estimate_performance(CURRENT, labelled_on(num_days), policy=SPEC.performance)
    assert (estimate.expected_skill, estimate.lowest_by_chance, estimate.suspicious) == (None, None, False)
    assert estimate.reason == f"insufficient: {num_days} days of held-out rows with labels; at least 10 are needed"


def test_too_few_answers_are_a_finding_with_its_reason() -> None:
    nobody = CURRENT.where(np.zeros(len(CURRENT), bool))
    for current, num_rows in ((nobody, 0), (CURRENT.where(np.arange(50)), 50)):
        estimate = estimate_performance(current, HELD_OUT, policy=SPEC.performance)
        assert estimate.reason.startswith(f"insufficient: {num_rows} unlabelled rows;")
