"""The gate lets a better model through, and neither noise nor a model that is worse for some."""

from dataclasses import replace

import numpy as np
import pytest

from training.promotion import GateRows, Verdict, bootstrap, decide
from training.spec import GateSpec

SPEC = GateSpec(slices=("origin",), num_resamples=1000)
ROWS_PER_DAY = 500


def logistic(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-value)))


def days_of_rows(num_days: int = 14, *, seed: int = 0) -> tuple[GateRows, np.ndarray]:
    """Rows whose chance shifts together within a day, and the signal that a model could know."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(num_days), ROWS_PER_DAY)
    signal = random.normal(size=len(day))
    chance = logistic(signal - 1.2 + random.normal(size=num_days)[day] * 0.5)
    label = (random.random(len(day)) < chance).astype(float)
    origin = random.integers(3, size=len(day))
    slices = {f"origin={name}": origin == index for index, name in enumerate(("EWR", "JFK", "LGA"))}
    return GateRows(label=label, day=day, slices=slices), signal


def test_a_model_that_knows_more_passes() -> None:
    rows, signal = days_of_rows()
    decision = decide(logistic(signal - 1.2), logistic(0.3 * signal - 1.2), rows, SPEC, against="version 1")
    assert decision.verdict is Verdict.PASSED
    assert decision.low is not None
    assert decision.difference is not None
    assert decision.high is not None
    assert 0 < decision.low < decision.difference < decision.high


def test_a_model_that_knows_less_is_refused() -> None:
    rows, signal = days_of_rows()
    decision = decide(logistic(0.3 * signal - 1.2), logistic(signal - 1.2), rows, SPEC, against="version 1")
    assert decision.verdict is Verdict.REFUSED
    assert "version 1" in decision.reason


def test_the_same_model_with_other_noise_is_refused() -> None:
    random = np.random.default_rng(5)
    for seed in range(20):
        rows, signal = days_of_rows(seed=seed)
        one, other = (logistic(signal - 1.2 + random.normal(size=len(signal)) * 0.1) for _ in range(2))
        assert decide(one, other, rows, SPEC, against="version 1").verdict is Verdict.REFUSED


def test_labels_that_were_shuffled_teach_nothing_that_passes() -> None:
    rows, signal = days_of_rows()
    base_rate = np.full(len(signal), rows.label.mean())
    assert decide(base_rate * 0.99, base_rate, rows, SPEC, against="the base rate").verdict is Verdict.REFUSED


def test_thirteen_days_are_insufficient_however_good_the_challenger() -> None:
    rows, signal = days_of_rows(13)
    decision = decide(logistic(signal - 1.2), logistic(0 * signal), rows, SPEC, against="version 1")
    assert decision.verdict is Verdict.INSUFFICIENT
    assert decision.difference is None


def test_one_slice_that_is_much_worse_refuses_a_model_that_is_better_on_the_whole() -> None:
    rows, signal = days_of_rows()
    better = logistic(signal - 1.2)
    broken = np.where(rows.slices["origin=LGA"], logistic(-0.1 * signal - 1.2), better)
    incumbent = logistic(0.2 * signal - 1.2)
    decision = decide(broken, incumbent, rows, SPEC, against="version 1")
    assert decision.verdict is Verdict.REFUSED
    assert decision.worst_slice == "origin=LGA"
    without_slices = replace(rows, slices={})
    assert decide(broken, incumbent, without_slices, SPEC, against="version 1").verdict is Verdict.PASSED


def test_a_slice_of_few_rows_is_not_judged() -> None:
    rows, signal = days_of_rows()
    few = np.zeros(len(signal), bool)
    few[:100] = True
    broken = np.where(few, 1e-6, logistic(signal - 1.2))
    decision = decide(
        broken, logistic(0.2 * signal - 1.2), replace(rows, slices={"few": few}), SPEC, against="version 1"
    )
    assert decision.worst_slice is None


def test_a_better_order_with_probabilities_far_off_is_refused() -> None:
    rows, signal = days_of_rows()
    incumbent = np.full(len(signal), rows.label.mean())
    off = logistic(1.6 * signal - 1.2 - 0.25)
    strict = replace(SPEC, max_calibration_error=0.001)
    decision = decide(off, incumbent, rows, strict, against="version 1")
    assert decision.verdict is Verdict.REFUSED
    assert "calibration" in decision.reason


@pytest.mark.parametrize("day_effect", [0.0, 0.02])
def test_the_lower_bound_is_above_the_truth_about_as_often_as_stated(day_effect: float) -> None:
    random = np.random.default_rng(1)
    above, trials = 0, 400
    day = np.repeat(np.arange(14), 50)
    for _ in range(trials):
        gain = random.normal(size=len(day)) * 0.1 + (random.normal(size=14) * day_effect)[day]
        estimate = bootstrap(gain[:, None], np.ones((len(gain), 1)), day, 400)
        low = estimate.mean[0] - estimate.error[0] * np.quantile(estimate.deviations[:, 0], 0.95)
        above += bool(low > 0)
    assert 0.02 <= above / trials <= 0.09
