"""How good the answers were: skill against the base rate, and whether it fell further than chance explains.

Raw log loss moves with the season, since a month with few delays is easy; skill, one minus log loss over that of the
base rate, is compared instead. The threshold comes from the reference's own days before the window is looked at.
"""

from dataclasses import dataclass

import numpy as np

from monitoring.resampling import FEWEST_DAYS, day_counts, draw_days, interval_of_quantile
from monitoring.sample import Floats, Sample
from monitoring.spec import PerformancePolicy, WindowPolicy

SMALLEST_PROBABILITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Scores:
    num_rows: int
    num_days: int
    base_rate: float
    auc: float | None
    log_loss: float
    brier: float
    skill: float | None


@dataclass(frozen=True, kw_only=True)
class SkillThreshold:
    """`drop`: the fall of skill that chance exceeds with probability `budget`; low and high are its 95 % interval."""

    reference_skill: float
    drop: float
    low: float
    high: float
    budget: float
    num_reference_days: int


@dataclass(frozen=True, kw_only=True)
class PerformanceVerdict:
    """`status`: insufficient, steady or dropped. `drop` is the reference's skill minus the window's.

    `was_due`: insufficient although the answers filled the window, so that labels or the reference are what is missing.
    """

    status: str
    reason: str
    scores: Scores | None
    threshold: SkillThreshold | None
    drop: float | None
    was_due: bool = False


def clipped(probability: Floats) -> Floats:
    return np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


def log_losses(label: Floats, probability: Floats) -> Floats:
    safe = clipped(probability)
    return -(label * np.log(safe) + (1 - label) * np.log1p(-safe))


def entropy(probability: Floats) -> Floats:
    """Log loss to expect of answers that are true probabilities, in nats."""
    safe = clipped(probability)
    return -(safe * np.log(safe) + (1 - safe) * np.log1p(-safe))


def area_under_curve(label: Floats, probability: Floats) -> float | None:
    """Probability that a positive is ranked above a negative, ties counted half; None with one class only."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = mean_rank[inverse]
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def score(sample: Sample) -> Scores:
    """Scores of labelled rows. Raises ValueError if there are none."""
    rows = sample.labelled
    if not len(rows):
        raise ValueError("no labelled rows to score")
    base_rate = float(rows.label.mean())
    log_loss = float(log_losses(rows.label, rows.probability).mean())
    return Scores(
        num_rows=len(rows),
        num_days=len(np.unique(rows.day)),
        base_rate=base_rate,
        auc=area_under_curve(rows.label, rows.probability),
        log_loss=log_loss,
        brier=float(((rows.probability - rows.label) ** 2).mean()),
        skill=None if base_rate in (0, 1) else float(1 - log_loss / entropy(np.array([base_rate]))[0]),
    )


def day_sums(sample: Sample) -> Floats:
    """Rows, positives and summed log loss of each day, (num_days, 3)."""
    rows = sample.labelled
    _, day = np.unique(rows.day, return_inverse=True)
    weights = (np.ones(len(rows)), rows.label, log_losses(rows.label, rows.probability))
    return np.stack([np.bincount(day, weights=weight) for weight in weights], axis=1)


def skills(sums: Floats) -> Floats:
    """Skill of each row of (rows, positives, log loss) sums, (...,); NaN where all rows are of one class."""
    rows, positives, losses = sums[..., 0], sums[..., 1], sums[..., 2]
    both_classes = (positives > 0) & (positives < rows)
    return np.where(both_classes, 1 - losses / rows / entropy(positives / rows), np.nan)


def thinned(reference: Sample, rows_per_day: float, rng: np.random.Generator) -> Sample:
    """The reference with about as many rows a day as the window, so that both have the same noise of sampling."""
    labelled = reference.labelled
    share = rows_per_day * len(np.unique(labelled.day)) / len(labelled)
    return labelled if share >= 1 else labelled.where(rng.random(len(labelled)) < share)


def calibrate_skill(
    held_out: Sample,
    everything: Sample,
    *,
    window_days: int,
    rows_per_day: float,
    policy: PerformancePolicy,
    seed: int = 0,
) -> SkillThreshold | None:
    """The drop that a window without decay exceeds with probability `policy.budget`.

    The level is that of `held_out`, which training did not touch; how much weeks differ is learned from `everything`,
    where the level flatters but the good and bad weeks are more. Both sides are drawn, since a reference of four weeks
    is as uncertain as the window. None if `everything` has labels on fewer than two days, or of one class only.
    """
    rng = np.random.default_rng(seed)
    full = day_sums(everything)
    thin = day_sums(thinned(everything, rows_per_day, rng)) if len(full) else full
    if min(len(full), len(thin)) < FEWEST_DAYS:
        return None
    num_held_out = len(np.unique(held_out.labelled.day))
    draws = {}
    for name, sums, num_days in (("reference", full, num_held_out), ("window", thin, window_days)):
        positions = draw_days(
            len(sums), window_days=num_days, block_days=policy.block_days, num_resamples=policy.num_resamples, rng=rng
        )
        draws[name] = skills(day_counts(positions, len(sums)) @ sums)
    # Resampled days vary by (n-1)/n of what days do.
    correction = np.sqrt(len(full) / (len(full) - 1))
    drops = (draws["reference"] - draws["window"]) * correction
    drops = drops[~np.isnan(drops)]  # a window of one class is not judged
    if not len(drops):
        return None
    low, high = interval_of_quantile(drops, 1 - policy.budget)
    return SkillThreshold(
        reference_skill=float(skills(day_sums(held_out).sum(axis=0))),
        drop=max(float(np.quantile(drops, 1 - policy.budget)), policy.min_drop),
        low=low,
        high=high,
        budget=policy.budget,
        num_reference_days=len(full),
    )


def insufficient(sample: Sample, window: WindowPolicy, what: str) -> str | None:
    """Why this sample is too small to judge, or None."""
    num_days = len(np.unique(sample.day))
    if len(sample) >= window.min_rows and num_days >= window.min_days:
        return None
    return (
        f"insufficient: {len(sample)} {what} rows on {num_days} days; "
        f"at least {window.min_rows} on {window.min_days} days are needed"
    )


def one_class(sample: Sample, what: str) -> str | None:
    """Why labels that are all alike cannot be judged by, or None."""
    return f"insufficient: one class only in {len(sample)} {what} rows" if len(np.unique(sample.label)) < 2 else None


def not_judged(scores: Scores | None, reason: str, *, was_due: bool) -> PerformanceVerdict:
    return PerformanceVerdict(
        status="insufficient", reason=reason, scores=scores, threshold=None, drop=None, was_due=was_due
    )


def judge_performance(
    current: Sample,
    held_out: Sample,
    everything: Sample,
    *,
    window: WindowPolicy,
    policy: PerformancePolicy,
    seed: int = 0,
) -> PerformanceVerdict:
    """Whether the window's labelled rows show less skill than the held-out ones, beyond chance and `min_drop`."""
    rows, reference = current.labelled, held_out.labelled
    scores = score(rows) if len(rows) else None
    why_not = (
        insufficient(rows, window, "labelled")
        or insufficient(reference, window, "held-out")
        or one_class(rows, "labelled")
        or one_class(reference, "held-out")
    )
    was_due = insufficient(current, window, "answered") is None
    if why_not or scores is None or scores.skill is None:
        return not_judged(scores, why_not or "insufficient: no labelled rows", was_due=was_due)
    threshold = calibrate_skill(
        held_out,
        everything,
        window_days=scores.num_days,
        rows_per_day=scores.num_rows / scores.num_days,
        policy=policy,
        seed=seed,
    )
    if threshold is None:
        reason = "insufficient: the reference's days do not tell how far skill varies"
        return not_judged(scores, reason, was_due=was_due)
    drop = threshold.reference_skill - scores.skill
    dropped = drop > threshold.drop
    reason = (
        f"skill {scores.skill:.3f} against {threshold.reference_skill:.3f} of the reference: a drop of {drop:.3f} "
        f"{'exceeds' if dropped else 'is within'} {threshold.drop:.3f} [{threshold.low:.3f}, {threshold.high:.3f}]"
    )
    status = "dropped" if dropped else "steady"
    return PerformanceVerdict(status=status, reason=reason, scores=scores, threshold=threshold, drop=drop)
