"""False alarms within the budget, a shift of one standard deviation caught, and Evidently of the same opinion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitoring.drift import judge_drift
from monitoring.report import write_report
from monitoring.sample import Sample
from tests.monitoring.world import DAY, SPEC, START, WEIGHTS, draw

SIZES = (50, 500, 1000, 2000, 5000, 10_000, 50_000)


@pytest.fixture(scope="module")
def reference() -> Sample:
    return draw(0, num_days=90, rows_per_day=100)


def window(seed: int, num_rows: int, *, shift: float = 0.0) -> Sample:
    return draw(seed, num_days=14, rows_per_day=max(num_rows // 14, 1), first=START + 90 * DAY, shift=shift)


def test_at_most_one_in_a_hundred_windows_without_drift_alarms(reference: Sample) -> None:
    verdicts = [
        judge_drift(window(seed, SIZES[seed % len(SIZES)]), reference, spec=SPEC, weights=WEIGHTS)
        for seed in range(1, 201)
    ]
    assert sum(verdict.status in ("drifted", "weighted") for verdict in verdicts) <= 2
    assert {verdict.status for verdict in verdicts} >= {"steady", "insufficient"}


@pytest.mark.parametrize("num_rows", [600, 5000])
def test_a_shift_of_one_standard_deviation_is_caught(reference: Sample, num_rows: int) -> None:
    verdicts = [
        judge_drift(window(seed, num_rows, shift=1.0), reference, spec=SPEC, weights=WEIGHTS) for seed in range(10)
    ]
    assert [verdict.status for verdict in verdicts] == ["weighted"] * 10


def test_drift_of_a_column_that_the_model_does_not_need_is_no_weighted_drift(reference: Sample) -> None:
    weights = {**WEIGHTS, "strong": 0.0, "weak": 1.0}
    verdict = judge_drift(window(3, 5000, shift=1.0), reference, spec=SPEC, weights=weights)
    assert verdict.status == "drifted"


def test_the_weather_never_triggers(reference: Sample) -> None:
    current = window(4, 5000)
    current.numeric["weather_heat"][:] += 50
    verdict = judge_drift(current, reference, spec=SPEC, weights=WEIGHTS)
    heat = next(column for column in verdict.columns if column.column == "weather_heat")
    assert (verdict.status, heat.drifted, heat.triggers) == ("steady", True, False)


def test_few_rows_are_insufficient(reference: Sample) -> None:
    verdict = judge_drift(window(5, 50, shift=5.0), reference, spec=SPEC, weights=WEIGHTS)
    assert verdict.status == "insufficient"
    assert "at least 500" in verdict.reason


def test_evidently_agrees_with_every_verdict_and_distance(reference: Sample, tmp_path: Path) -> None:
    current = window(6, 5000, shift=0.4)
    current.numeric["weak"][::7] = np.nan
    verdict = judge_drift(current, reference, spec=SPEC, weights=WEIGHTS)
    limit = SPEC.drift.max_rows
    reported = write_report(
        verdict,
        reference=reference.at_most(limit),
        current=current.at_most(limit),
        title="test",
        path=tmp_path / "report.html",
    )
    ours = {column.column: column for column in verdict.columns}
    assert {column.column for column in reported} == set(ours)
    assert {column.column: column.drifted for column in reported} == {name: each.drifted for name, each in ours.items()}
    assert [column.distance for column in reported] == pytest.approx([ours[c.column].distance for c in reported])
    assert any(column.drifted for column in reported)


def all_alike(sample: Sample) -> Sample:
    """Every column one value."""
    return replace(
        sample,
        numeric={name: np.zeros(len(sample)) for name in sample.numeric},
        categorical={name: np.full(len(sample), "", object) for name in sample.categorical},
    )


def without_values(sample: Sample, *names: str) -> Sample:
    absent = {name: np.full(len(sample), np.nan) for name in names}
    return replace(sample, numeric=sample.numeric | absent)


ONE_DAY = replace(SPEC, window=replace(SPEC.window, min_rows=1, min_days=1))


def test_a_reference_in_which_no_column_varies_gives_no_threshold_and_no_verdict(reference: Sample) -> None:
    verdict = judge_drift(window(1, 1400), all_alike(reference), spec=SPEC, weights=WEIGHTS)
    assert (verdict.status, verdict.columns, verdict.thresholds) == ("insufficient", (), None)
    assert "no column varies" in verdict.reason


def test_a_reference_of_one_day_gives_no_threshold_and_no_verdict(reference: Sample) -> None:
    one_day = reference.where(reference.day == reference.day.min())
    verdict = judge_drift(window(1, 1400), one_day, spec=ONE_DAY, weights=WEIGHTS)
    assert (verdict.status, verdict.thresholds) == ("insufficient", None)
    assert "100 reference rows on 1 days" in verdict.reason


@pytest.mark.parametrize(
    ("exempt", "empty", "words"),
    [
        (("strong", "weak", "weather_", "category"), (), "0 columns may trigger"),
        (("weak", "weather_", "category"), ("strong",), "1 columns may trigger, none of them has 100 values"),
    ],
    ids=["none may", "the only one is empty"],
)
def test_where_no_column_that_may_trigger_was_compared_nothing_is_called_steady(
    reference: Sample, exempt: tuple[str, ...], empty: tuple[str, ...], words: str
) -> None:
    spec = replace(SPEC, drift=replace(SPEC.drift, exempt=exempt))
    verdict = judge_drift(without_values(window(1, 1400), *empty), reference, spec=spec, weights=WEIGHTS)
    assert (verdict.status, verdict.weighted) == ("insufficient", None)
    assert words in verdict.reason
    assert verdict.thresholds is not None, "the report of the columns that were compared is still drawn"


def test_a_column_that_could_not_be_compared_is_counted(reference: Sample) -> None:
    verdict = judge_drift(without_values(window(1, 1400), "weak"), reference, spec=SPEC, weights=WEIGHTS)
    assert verdict.reason.startswith("0 of 2 columns drifted, 1 had too few values;")


def test_weights_of_which_none_is_known_weigh_alike(reference: Sample) -> None:
    nothing = judge_drift(window(1, 1400), reference, spec=SPEC, weights={})
    zeros = judge_drift(window(1, 1400), reference, spec=SPEC, weights=dict.fromkeys(WEIGHTS, 0.0))
    assert {column.weight for column in nothing.columns if column.triggers} == {1 / 3}
    assert zeros == nothing
