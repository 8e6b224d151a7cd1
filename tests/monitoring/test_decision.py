"""Whatever rows there are, or none: a decision that JSON can hold, and nothing judged is nothing cleared."""

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.decision import Decision, Judgement, judge
from monitoring.defects import find_defects
from monitoring.drift import DriftVerdict, judge_drift
from monitoring.estimate import Estimate, estimate_performance
from monitoring.performance import PerformanceVerdict, judge_performance
from monitoring.sample import Sample
from tests.monitoring.world import DAY, SPEC, START, WEIGHTS, draw

QUICK = replace(
    SPEC,
    window=replace(SPEC.window, min_rows=1, min_days=1),
    performance=replace(SPEC.performance, num_resamples=40),
    drift=replace(SPEC.drift, num_resamples=40),
)
WINDOW = draw(1, num_days=14, rows_per_day=30, first=START + 60 * DAY)
REFERENCE = draw(0, num_days=60, rows_per_day=20)


@st.composite
def spoiled(draw_value: st.DrawFn, sample: Sample) -> Sample:
    """Some of the rows, or none; columns that are empty or all alike; labels of one class, or none."""
    num_rows = draw_value(st.sampled_from([0, 1, 2, 150, len(sample)]))
    rows = sample.where(np.linspace(0, len(sample) - 1, num_rows).astype(np.int64))
    fates = {name: draw_value(st.sampled_from(["kept", "absent", "constant"])) for name in rows.numeric}
    value = {"absent": np.nan, "constant": 1.0}
    numeric = {
        name: values if fates[name] == "kept" else np.full(num_rows, value[fates[name]])
        for name, values in rows.numeric.items()
    }
    category = rows.categorical["category"] if draw_value(st.booleans()) else np.full(num_rows, "", object)
    label = draw_value(st.sampled_from([None, 0.0, 1.0, np.nan]))
    return replace(
        rows,
        numeric=numeric,
        categorical={"category": category},
        label=rows.label if label is None else np.full(num_rows, label),
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=spoiled(WINDOW), reference=spoiled(REFERENCE))
def test_any_window_against_any_reference_is_a_verdict_without_nan(current: Sample, reference: Sample) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        performance = judge_performance(current, reference, reference, window=QUICK.window, policy=QUICK.performance)
        estimate = estimate_performance(current, reference, policy=QUICK.performance)
        drift = judge_drift(current, reference, spec=QUICK, weights=WEIGHTS)
        judgement = judge(performance, estimate, drift, find_defects(current, reference, [], QUICK))
    for found in (performance, estimate, drift, judgement):
        json.dumps(asdict(found), allow_nan=False)
    if performance.status == drift.status == "insufficient":
        assert judgement.decision not in (Decision.NONE, Decision.RETRAIN)
    assert judgement.reason


def judgement_of(performance: str, drift: str, *, suspicious: bool = False, was_due: bool = False) -> Judgement:
    return judge(
        PerformanceVerdict(status=performance, reason="p", scores=None, threshold=None, drop=None, was_due=was_due),
        Estimate(num_rows=9, expected_skill=0.1, lowest_by_chance=0.2, suspicious=suspicious, reason="e"),
        DriftVerdict(status=drift, reason="d"),
        [],
    )


def test_a_window_of_which_nothing_could_be_judged_is_insufficient_and_not_quiet() -> None:
    assert judgement_of("insufficient", "insufficient") == Judgement(
        decision=Decision.INSUFFICIENT, reason="p; d", alarms=()
    )


def test_a_window_of_which_something_was_judged_and_nothing_found_is_quiet() -> None:
    assert judgement_of("steady", "insufficient").decision is Decision.NONE
    assert judgement_of("insufficient", "steady").decision is Decision.NONE


def test_a_window_that_answers_filled_and_labels_did_not_is_not_quiet_however_steady_its_inputs() -> None:
    judgement = judgement_of("insufficient", "steady", was_due=True)
    assert (judgement.decision, judgement.alarms) == (Decision.INSUFFICIENT, ())
    assert judgement_of("insufficient", "weighted", was_due=True).decision is Decision.RETRAIN


def test_a_suspicion_is_no_less_one_where_nothing_else_could_be_judged() -> None:
    assert judgement_of("insufficient", "insufficient", suspicious=True).decision is Decision.WATCH
