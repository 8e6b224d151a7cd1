"""May this challenger replace what is served? Decided on rows that nothing in its training has touched.

Rows of one day share weather and delays, so the day is what is resampled, not the row. With two weeks of days a
percentile interval would be too short; the studentised bootstrap is not. The slices are judged by one bound that holds
for all of them at once, since one of thirty always looks bad.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from training.evaluate import expected_calibration_error, log_losses
from training.spec import GateSpec

Floats = NDArray[np.float64]
SEED = 20_130_101


class Verdict(StrEnum):
    PASSED = "passed"
    REFUSED = "refused"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, kw_only=True)
class GateRows:
    """`day` numbers the calendar days; `slices` has a name like `flight_origin=JFK` and a mask for each slice."""

    label: Floats
    day: NDArray[np.int64]
    slices: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Differences are log loss of what is served less the challenger's, in nats per row: positive is better."""

    verdict: Verdict
    reason: str
    against: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    minimum: float
    num_days: int
    num_rows: int
    calibration_error: float | None = None
    worst_slice: str | None = None
    worst_slice_high: float | None = None

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Means of several groups at once and their resampled studentised deviations, `(resamples, groups)`."""

    mean: Floats
    error: Floats
    deviations: Floats


def decide(challenger: Floats, incumbent: Floats, rows: GateRows, spec: GateSpec, *, against: str) -> Decision:
    """`challenger` and `incumbent` are probabilities of the same rows; `against` names the incumbent in the reason."""
    num_days = len(np.unique(rows.day))
    known = {"against": against, "minimum": spec.minimum_effect, "num_days": num_days, "num_rows": len(rows.label)}
    if num_days < spec.min_days:
        reason = f"{num_days} days of rows are not enough to judge by, {spec.min_days} are needed"
        return Decision(verdict=Verdict.INSUFFICIENT, reason=reason, **known)  # type: ignore[arg-type]
    gain = log_losses(rows.label, incumbent) - log_losses(rows.label, challenger)
    overall = bootstrap(gain[:, None], np.ones((len(gain), 1)), rows.day, spec.num_resamples)
    mean, error = float(overall.mean[0]), float(overall.error[0])
    low = mean - error * float(np.quantile(overall.deviations[:, 0], spec.confidence))
    high = mean - error * float(np.quantile(overall.deviations[:, 0], 1 - spec.confidence))
    worst, worst_high = worst_slice(gain, rows, spec)
    calibration_error = expected_calibration_error(rows.label, challenger)
    allowed = max(spec.max_calibration_error, expected_calibration_error(rows.label, incumbent))
    verdict, reason = Verdict.PASSED, f"log loss lower by {mean:.4f} [{low:.4f}, {high:.4f}] than {against}"
    if not mean >= spec.minimum_effect:
        verdict = Verdict.REFUSED
        reason = f"log loss lower by {mean:.4f} than {against}; at least {spec.minimum_effect} is asked"
    elif not low > 0:
        verdict = Verdict.REFUSED
        reason = f"log loss lower by {mean:.4f} than {against}, but {low:.4f} at {spec.confidence:.0%} is not above 0"
    elif worst is not None and worst_high is not None and worst_high < -spec.slice_margin:
        verdict, reason = Verdict.REFUSED, f"worse on {worst} by at least {-worst_high:.4f} > {spec.slice_margin}"
    elif not calibration_error <= allowed:
        verdict, reason = Verdict.REFUSED, f"calibration error {calibration_error:.4f} > {allowed:.4f}"
    return Decision(
        verdict=verdict,
        reason=reason,
        difference=mean,
        low=low,
        high=high,
        calibration_error=calibration_error,
        worst_slice=worst,
        worst_slice_high=worst_high,
        **known,  # type: ignore[arg-type]
    )


def bootstrap(gain: Floats, member: Floats, day: NDArray[np.int64], num_resamples: int) -> Estimate:
    """Resample days. `gain` and `member` are `(rows, groups)`: the gain of a row and whether it is in the group."""
    _, place = np.unique(day, return_inverse=True)
    num_days = int(place.max()) + 1
    sums, counts = (np.zeros((num_days, gain.shape[1])) for _ in range(2))
    np.add.at(sums, place, gain * member)
    np.add.at(counts, place, member)
    mean, error = ratio(sums[None], counts[None])
    picks = np.random.default_rng(SEED).integers(num_days, size=(num_resamples, num_days))
    means, errors = ratio(sums[picks], counts[picks])
    # A resample without spread says nothing: it counts as no deviation.
    deviations = np.divide(means - mean, errors, out=np.zeros_like(means), where=errors > 0)
    return Estimate(mean=mean[0], error=error[0], deviations=deviations)


def ratio(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Mean per row and its standard error over days; `(resamples, days, groups)` to `(resamples, groups)` each."""
    num_days = sums.shape[1]
    total = counts.sum(axis=1)
    mean = np.divide(sums.sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    spread = ((sums - mean[:, None] * counts) ** 2).sum(axis=1) * num_days / (num_days - 1)
    return mean, np.divide(np.sqrt(spread), total, out=np.zeros_like(total), where=total > 0)


def worst_slice(gain: Floats, rows: GateRows, spec: GateSpec) -> tuple[str | None, float | None]:
    """The slice with the lowest upper bound of its gain; the bounds of all slices hold together."""
    names = [name for name, mask in rows.slices.items() if mask.sum() >= spec.min_slice_rows]
    if not names:
        return None, None
    member = np.stack([rows.slices[name] for name in names], axis=1).astype(np.float64)
    estimate = bootstrap(np.repeat(gain[:, None], len(names), axis=1), member, rows.day, spec.num_resamples)
    widest = float(np.quantile((-estimate.deviations).max(axis=1), spec.confidence))
    upper = estimate.mean + estimate.error * widest
    worst = int(upper.argmin())
    return names[worst], float(upper[worst])
