"""Whether the vectors moved away from the reference further than its own weeks move from each other.

A threshold per column, calibrated for the maximum over columns on blocks of the reference's days: with sixty columns a
fixed 0.1 each would alarm every fortnight. Distances are Evidently's (Wasserstein over the reference's standard
deviation for numbers, Jensen-Shannon for categories), so that its report and this verdict cannot differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.distance import jensen_shannon_distance, wasserstein_distance
from monitoring.performance import insufficient
from monitoring.resampling import FEWEST_DAYS, day_counts, draw_days, interval_of_quantile
from monitoring.sample import Floats, Integers, Sample, Strings
from monitoring.spec import MonitoringSpec

NUM_BINS = 128
FEWEST_VALUES = 100
SMALLEST_THRESHOLD = 0.02
SMALLEST_DEVIATION = 0.001  # Evidently's


@dataclass(frozen=True, kw_only=True)
class DriftThresholds:
    """`by_column`: distance that chance reaches, in any column, with probability `budget` a window.

    `factor` is what each column's typical distance is multiplied by, `low` and `high` its 95 % interval; `weighted` is
    the threshold of the importance-weighted mean of distances over thresholds.
    """

    by_column: dict[str, float]
    factor: float
    low: float
    high: float
    weighted: float
    budget: float
    num_reference_days: int


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    column: str
    distance: float
    threshold: float
    weight: float
    triggers: bool

    @property
    def drifted(self) -> bool:
        return self.distance >= self.threshold


@dataclass(frozen=True, kw_only=True)
class DriftVerdict:
    """`status`: insufficient, steady, drifted (covariates alone) or weighted (in what the model relies on).

    One that is insufficient has `columns` and `thresholds` where only columns that may not trigger were compared.
    """

    status: str
    reason: str
    columns: tuple[ColumnDrift, ...] = ()
    thresholds: DriftThresholds | None = None
    weighted: float | None = None


def numeric_distance(reference: Floats, current: Floats) -> float | None:
    """Wasserstein distance in the reference's standard deviations; None with too few present values."""
    reference, current = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if min(len(reference), len(current)) < FEWEST_VALUES:
        return None
    return wasserstein_distance(reference, current) / max(float(np.std(reference)), SMALLEST_DEVIATION)


def categorical_distance(reference: Strings, current: Strings) -> float | None:
    """Jensen-Shannon distance of the shares, in nats' square root."""
    if min(len(reference), len(current)) < FEWEST_VALUES:
        return None
    _, codes = np.unique(np.concatenate([reference, current]).astype(str), return_inverse=True)
    size = int(codes.max()) + 1
    shares = [np.bincount(part, minlength=size) / len(part) for part in np.split(codes, [len(reference)])]
    return float(jensen_shannon_distance(*shares))


def distances(reference: Sample, current: Sample) -> dict[str, float]:
    """By column, leaving out those with too few present values on either side."""
    numeric = {name: numeric_distance(reference.numeric[name], values) for name, values in current.numeric.items()}
    categorical = {
        name: categorical_distance(reference.categorical[name], values) for name, values in current.categorical.items()
    }
    return {name: distance for name, distance in {**numeric, **categorical}.items() if distance is not None}


def day_histograms(codes: Integers, day: Integers, num_days: int, num_bins: int) -> Floats:
    """Counts, (num_days, num_bins); a negative code is an absent value."""
    present = codes >= 0
    flat = np.bincount(day[present] * num_bins + codes[present], minlength=num_days * num_bins)
    return flat.reshape(num_days, num_bins).astype(np.float64)


def drawn_shares(counts: Floats, histograms: Floats, num_rows: float, rng: np.random.Generator) -> Floats:
    """Shares by bin of resampled windows, (num_resamples, num_bins), with the noise of `num_rows` rows on top.

    The noise is the multinomial's normal approximation, which is ten times as fast to draw.
    """
    totals = counts @ histograms
    shares = totals / np.maximum(totals.sum(axis=1, keepdims=True), 1)
    noise = np.sqrt(shares / max(num_rows, 1)) * rng.standard_normal(shares.shape, np.float32)
    return np.asarray(shares + noise - shares * noise.sum(axis=1, keepdims=True))


def numeric_draws(values: Floats, day: Integers, counts: Floats, num_rows: float, rng: np.random.Generator) -> Floats:
    """Distances of resampled windows from the reference, (num_resamples,), on the grid of its quantiles."""
    present = values[~np.isnan(values)]
    if len(present) < FEWEST_VALUES:
        return np.zeros(len(counts))
    edges = np.unique(np.quantile(present, np.linspace(0, 1, NUM_BINS + 1)))
    if len(edges) < 2:
        return np.zeros(len(counts))
    codes = np.where(np.isnan(values), -1, np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 1))
    histograms = day_histograms(codes.astype(np.int64), day, counts.shape[1], len(edges))
    shares = drawn_shares(counts, histograms, num_rows * len(present) / len(values), rng)
    gaps = np.abs(np.cumsum(shares - histograms.sum(axis=0) / histograms.sum(), axis=1))[:, :-1]
    return np.asarray(gaps @ np.diff(edges) / max(float(np.std(present)), SMALLEST_DEVIATION))


def categorical_draws(
    values: Strings, day: Integers, counts: Floats, num_rows: float, rng: np.random.Generator
) -> Floats:
    _, codes = np.unique(values.astype(str), return_inverse=True)
    histograms = day_histograms(codes.astype(np.int64), day, counts.shape[1], int(codes.max()) + 1)
    shares = drawn_shares(counts, histograms, num_rows, rng)
    whole = histograms.sum(axis=0) / histograms.sum()
    return np.asarray(jensen_shannon_distance(np.maximum(shares, 0), whole))


def calibrate_drift(
    reference: Sample,
    *,
    spec: MonitoringSpec,
    weights: Mapping[str, float],
    window_days: int,
    num_rows: int,
    seed: int = 0,
) -> DriftThresholds | None:
    """Thresholds from windows resampled out of the reference, of the current one's length and number of rows.

    A column's typical distance is the 90 % quantile of its own draws; `factor` is the quantile of the maximum over the
    triggering columns of distance over typical distance, which stays inside the budget however the columns depend.
    None where nothing can be learned: from less than two days, or columns of which none varies.
    """
    policy, rng = spec.drift, np.random.default_rng(seed)
    days, day = np.unique(reference.day, return_inverse=True)
    if len(days) < FEWEST_DAYS:
        return None
    positions = draw_days(
        len(days),
        window_days=window_days,
        block_days=policy.block_days,
        num_resamples=policy.num_resamples,
        rng=rng,
    )
    counts = day_counts(positions, len(days))
    rows = 1 / (1 / min(num_rows, policy.max_rows) + 1 / min(len(reference), policy.max_rows))
    draws = {name: numeric_draws(values, day, counts, rows, rng) for name, values in reference.numeric.items()}
    draws |= {name: categorical_draws(values, day, counts, rows, rng) for name, values in reference.categorical.items()}
    # A new window is independent of the reference, a resampled one is part of it: their difference varies less.
    widened = np.sqrt((1 + window_days / len(days)) * len(days) / (len(days) - 1))
    draws = {name: values * widened for name, values in draws.items()}
    typical = {name: float(np.quantile(values, 0.9)) for name, values in draws.items()}
    varying = [name for name in draws if typical[name] > 0]
    if not varying:
        return None
    # Where no column may trigger, the thresholds are for the report alone.
    triggering = [name for name in varying if spec.triggers(name)] or varying
    relative = np.stack([draws[name] / typical[name] for name in triggering])
    level = 1 - policy.budget
    largest = relative.max(axis=0)
    factor = float(np.quantile(largest, level))
    low, high = interval_of_quantile(largest, level)
    by_column = {name: max(factor * value, SMALLEST_THRESHOLD) for name, value in typical.items()}
    shares = normalized({name: weights.get(name, 0.0) for name in triggering})
    mean = sum(shares[name] * draws[name] / by_column[name] for name in triggering)
    return DriftThresholds(
        by_column=by_column,
        factor=factor,
        low=low,
        high=high,
        weighted=max(float(np.quantile(mean, level)), policy.min_weighted),
        budget=policy.budget,
        num_reference_days=len(days),
    )


def normalized(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to one; equal ones if nothing is known about any."""
    total = sum(weights.values())
    return {name: weight / total if total > 0 else 1 / len(weights) for name, weight in weights.items()}


def judge_drift(
    current: Sample,
    reference: Sample,
    *,
    spec: MonitoringSpec,
    weights: Mapping[str, float],
    thresholds: DriftThresholds | None = None,
    seed: int = 0,
) -> DriftVerdict:
    """Compare at most `max_rows` of each side; pass the same two samples to Evidently for its report.

    `thresholds` are calibrated for this window unless given, by whoever judges many alike.
    """
    too_few = insufficient(current, spec.window, "current") or insufficient(reference, spec.window, "reference")
    if too_few:
        return DriftVerdict(status="insufficient", reason=too_few)
    thresholds = thresholds or calibrate_drift(
        reference,
        spec=spec,
        weights=weights,
        window_days=len(np.unique(current.day)),
        num_rows=len(current),
        seed=seed,
    )
    if thresholds is None:
        num_days = len(np.unique(reference.day))
        reason = f"insufficient: in {len(reference)} reference rows on {num_days} days no column varies over days"
        return DriftVerdict(status="insufficient", reason=reason)
    measured = distances(reference.at_most(spec.drift.max_rows), current.at_most(spec.drift.max_rows))
    shares = normalized({name: weights.get(name, 0.0) for name in measured if spec.triggers(name)})
    columns = tuple(
        ColumnDrift(
            column=name,
            distance=distance,
            threshold=thresholds.by_column[name],
            weight=shares.get(name, 0.0),
            triggers=spec.triggers(name),
        )
        for name, distance in measured.items()
    )
    num_triggering = sum(spec.triggers(name) for name in (*current.numeric, *current.categorical))
    return verdict(columns, thresholds, num_triggering=num_triggering)


def verdict(columns: tuple[ColumnDrift, ...], thresholds: DriftThresholds, *, num_triggering: int) -> DriftVerdict:
    """Of `num_triggering` columns that may trigger, those of them in `columns` could be compared."""
    triggering = [column for column in columns if column.triggers]
    if not triggering:
        why = f"{num_triggering} columns may trigger, none of them has {FEWEST_VALUES} values on both sides"
        known = thresholds if columns else None
        return DriftVerdict(status="insufficient", reason=f"insufficient: {why}", columns=columns, thresholds=known)
    drifted = sorted(
        (column for column in triggering if column.drifted), key=lambda column: -column.distance / column.threshold
    )
    weighted = sum(column.weight * column.distance / column.threshold for column in triggering)
    names = ", ".join(f"{column.column} {column.distance:.2f} >= {column.threshold:.2f}" for column in drifted[:3])
    status = "weighted" if weighted > thresholds.weighted else "drifted" if drifted else "steady"
    left_out = num_triggering - len(triggering)
    reason = (
        f"{len(drifted)} of {len(triggering)} columns drifted{f' ({names})' if names else ''}"
        f"{f', {left_out} had too few values' if left_out else ''}; "
        f"weighted by importance {weighted:.2f}, threshold {thresholds.weighted:.2f}"
    )
    return DriftVerdict(status=status, reason=reason, columns=columns, thresholds=thresholds, weighted=weighted)
