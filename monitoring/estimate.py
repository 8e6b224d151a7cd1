"""What the answers' own probabilities say where labels have not come: a suspicion, never an acquittal.

If the probabilities were true, a row's expected log loss would be its entropy. A model that decays keeps believing
itself, so a good estimate proves nothing; a bad one, answers near the base rate, is worth a look.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from monitoring.performance import entropy, thinned
from monitoring.resampling import FEWEST_DAYS, day_counts, draw_days
from monitoring.sample import MICROSECONDS_PER_DAY, Floats, Sample
from monitoring.spec import PerformancePolicy

FEWEST_ROWS = 200
FEWEST_REFERENCE_DAYS = 10


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Expected skill of the newest, unlabelled answers; `suspicious` if chance explains it less often than `budget`."""

    num_rows: int
    expected_skill: float | None
    lowest_by_chance: float | None
    suspicious: bool
    reason: str


def expected_skills(sums: Floats) -> Floats:
    """Of (rows, summed probability, summed entropy) sums, (...,)."""
    rows, positives, losses = sums[..., 0], sums[..., 1], sums[..., 2]
    return np.asarray(1 - losses / rows / entropy(positives / rows))


def expected_day_sums(sample: Sample) -> Floats:
    _, day = np.unique(sample.day, return_inverse=True)
    weights = (np.ones(len(sample)), sample.probability, entropy(sample.probability))
    return np.stack([np.bincount(day, weights=weight) for weight in weights], axis=1)


def not_judged(current: Sample, why: str) -> Estimate:
    return Estimate(
        num_rows=len(current),
        expected_skill=None,
        lowest_by_chance=None,
        suspicious=False,
        reason=f"insufficient: {why}",
    )


def estimate_performance(current: Sample, reference: Sample, *, policy: PerformancePolicy, seed: int = 0) -> Estimate:
    """The expected skill of `current` against that of as many hours and rows drawn from the reference's held-out days.

    The newest answers cover part of days; the nearest number of whole days, rounded down, errs towards silence.
    """
    num_days = int((current.at.max() - current.at.min()) // MICROSECONDS_PER_DAY) if len(current) else 0
    if len(current) < FEWEST_ROWS or num_days < 1:
        return not_judged(current, f"{len(current)} unlabelled rows; at least {FEWEST_ROWS} over a day are needed")
    num_reference_days = len(np.unique(reference.labelled.day))
    if num_reference_days < FEWEST_REFERENCE_DAYS:
        needed = f"at least {FEWEST_REFERENCE_DAYS} are needed"
        return not_judged(current, f"{num_reference_days} days of held-out rows with labels; {needed}")
    rng = np.random.default_rng(seed)
    sums = expected_day_sums(thinned(reference, len(current) / num_days, rng))
    if len(sums) < FEWEST_DAYS:
        return not_judged(current, "the held-out rows lie on too few days")
    positions = draw_days(
        len(sums), window_days=num_days, block_days=policy.block_days, num_resamples=policy.num_resamples, rng=rng
    )
    drawn = expected_skills(day_counts(positions, len(sums)) @ sums)
    # The extreme quantile of two weeks of days is their worst day; beyond that, by the spread of the bulk.
    lowest = float(drawn.mean() - NormalDist().inv_cdf(1 - policy.estimate_budget) * drawn.std())
    expected = float(expected_skills(expected_day_sums(current).sum(axis=0)))
    suspicious = expected < lowest
    return Estimate(
        num_rows=len(current),
        expected_skill=expected,
        lowest_by_chance=lowest,
        suspicious=suspicious,
        reason=f"expected skill {expected:.3f} of unlabelled answers, {'' if suspicious else 'not '}below {lowest:.3f}",
    )
