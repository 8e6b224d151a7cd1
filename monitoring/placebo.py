"""A placebo year: days in random order, so that nothing can drift, and every alarm is a false one.

Thresholds come from one half of the days and are tried on windows of the other half. What is counted is compared with
the budgets that the use case declared, in the exact 95 % interval of the binomial.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.table import Table
from scipy.stats import binom

from monitoring.drift import calibrate_drift, judge_drift
from monitoring.performance import judge_performance
from monitoring.reference import sample_of_table
from monitoring.sample import MICROSECONDS_PER_DAY, Sample
from monitoring.spec import MonitoringSpec


@dataclass(frozen=True, kw_only=True)
class PlaceboYear:
    """Windows judged and alarms counted, by what raised them; `retrain` counts windows that asked for a training.

    `num_insufficient` further windows could not be judged, so that their silence says nothing.
    """

    seed: int
    num_windows: int
    num_insufficient: int
    performance: int
    weighted_drift: int
    drift: int
    retrain: int


def read_table(spec: MonitoringSpec, path: Path) -> Sample:
    """Rows with a label. Raises ValueError if the table or one of its columns is missing."""
    if not path.exists():
        raise ValueError(f"no table {path}; give a Parquet file with --table")
    table = pq.read_table(path)
    needed = {*spec.numeric, *spec.categorical, "prediction_time", "label", "probability"}
    if missing := sorted(needed - set(table.column_names)):
        raise ValueError(f"{path} has no columns {missing}; a placebo year needs vectors, labels and a model's answers")
    return sample_of_table(spec.contract, table).labelled


def in_order_of(sample: Sample, days: np.ndarray) -> Sample:
    """Only rows of `days`, moved so that those days follow each other in the given order."""
    position = {int(day): index for index, day in enumerate(days)}
    kept = sample.where(np.isin(sample.day, days))
    moved = np.array([position[int(day)] for day in kept.day], np.int64)
    at = moved * MICROSECONDS_PER_DAY + kept.at % MICROSECONDS_PER_DAY
    order = np.argsort(at, kind="stable")
    return Sample(
        numeric={name: values[order] for name, values in kept.numeric.items()},
        categorical={name: values[order] for name, values in kept.categorical.items()},
        at=at[order],
        probability=kept.probability[order],
        label=kept.label[order],
    )


def may_drift(spec: MonitoringSpec) -> bool:
    """Whether drift of any column may raise an alarm."""
    return any(spec.triggers(name) for name in (*spec.numeric, *spec.categorical))


def placebo_year(
    spec: MonitoringSpec, sample: Sample, *, seed: int, weights: Mapping[str, float], rows_per_window: int
) -> PlaceboYear:
    """One random order of the days; as many windows as the second half holds.

    Raises ValueError if none of them could be judged: no alarm among them would say nothing.
    """
    rng = np.random.default_rng(seed)
    days = rng.permutation(np.unique(sample.day))
    half = len(days) // 2
    length = spec.window.length.days
    reference = in_order_of(sample, days[:half])
    counted = {"performance": 0, "weighted_drift": 0, "drift": 0, "retrain": 0}
    thresholds = calibrate_drift(
        reference,
        spec=spec,
        weights=weights,
        window_days=length,
        num_rows=min(rows_per_window, len(reference) * length // half),
        seed=seed,
    )
    why_not: list[str] = []
    starts = range(half, len(days) - length + 1, length)
    for start in starts:
        current = in_order_of(sample, days[start : start + length]).at_most(rows_per_window, seed=seed)
        performance = judge_performance(
            current, reference, reference, window=spec.window, policy=spec.performance, seed=seed
        )
        drift = judge_drift(current, reference, spec=spec, weights=weights, thresholds=thresholds)
        if performance.status == "insufficient" or (may_drift(spec) and drift.status == "insufficient"):
            why_not.append(f"{performance.reason}; {drift.reason}")
            continue
        dropped = performance.status == "dropped"
        counted["performance"] += dropped
        counted["weighted_drift"] += drift.status == "weighted"
        counted["drift"] += drift.status in ("weighted", "drifted")
        counted["retrain"] += dropped or drift.status == "weighted"
    num_windows = len(starts) - len(why_not)
    if not num_windows:
        raise ValueError(f"none of {len(starts)} placebo windows could be judged: {why_not[0]}")
    return PlaceboYear(seed=seed, num_windows=num_windows, num_insufficient=len(why_not), **counted)


def placebo_years(
    spec: MonitoringSpec,
    sample: Sample,
    *,
    seeds: Iterable[int],
    weights: Mapping[str, float] | None = None,
    rows_per_window: int = 4000,
) -> list[PlaceboYear]:
    """Raises ValueError if half of the days do not fill a window."""
    num_days = len(np.unique(sample.day))
    if num_days // 2 < spec.window.length.days:
        raise ValueError(f"{num_days} days with labels; a placebo year needs at least {2 * spec.window.length.days}")
    return [
        placebo_year(spec, sample, seed=seed, weights=weights or {}, rows_per_window=rows_per_window) for seed in seeds
    ]


def budgets(spec: MonitoringSpec) -> dict[str, float]:
    """False alarms per window that the use case allows, by what raises them.

    Drift has two tests, of the maximum and of the weighted mean, each with the drift budget.
    """
    performance, drift = spec.performance.budget, spec.drift.budget
    return {
        "performance": performance,
        "weighted_drift": drift,
        "drift": 2 * drift,
        "retrain": performance + drift,
    }


def allowed(budget: float, num_windows: int) -> tuple[int, int]:
    """95 % interval of the number of false alarms at the budget."""
    return int(binom.ppf(0.025, num_windows, budget)), int(binom.ppf(0.975, num_windows, budget))


def table_of(spec: MonitoringSpec, years: list[PlaceboYear]) -> Table:
    windows = sum(year.num_windows for year in years)
    title = f"{spec.contract.name}: {len(years)} placebo years, {windows} windows without drift"
    left_out = sum(year.num_insufficient for year in years)
    table = Table(title=f"{title}, {left_out} more could not be judged" if left_out else title)
    for name in ("alarm", "budget per window", "expected", "95 % interval", "counted"):
        table.add_column(name, justify="left" if name == "alarm" else "right")
    for name, budget in budgets(spec).items():
        low, high = allowed(budget, windows)
        counted = sum(getattr(year, name) for year in years)
        table.add_row(name, f"{budget:.4f}", f"{budget * windows:.1f}", f"{low} to {high}", str(counted))
    return table
