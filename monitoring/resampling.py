"""Drawing windows from days: blocks of consecutive days, because rows of a day, and days of a week, go together.

On flights, clustering by day makes the variance of the late rate about 90 times that of independent rows: a threshold
from resampled rows would alarm every fortnight.
"""

import numpy as np

from monitoring.sample import Floats, Integers

FEWEST_DAYS = 2


def draw_days(
    num_days: int, *, window_days: int, block_days: int, num_resamples: int, rng: np.random.Generator
) -> Integers:
    """Positions of days, (num_resamples, window_days): circular moving blocks, the last one cut to fit.

    Raises ValueError if there are fewer than two days: nothing can be said about their differences.
    """
    if num_days < FEWEST_DAYS:
        raise ValueError(f"{num_days} day(s) to resample; at least {FEWEST_DAYS} are needed")
    length = min(block_days, num_days)
    num_blocks = -(-window_days // length)
    starts = rng.integers(0, num_days, size=(num_resamples, num_blocks, 1))
    positions = (starts + np.arange(length)) % num_days
    return positions.reshape(num_resamples, -1)[:, :window_days]


def day_counts(positions: Integers, num_days: int) -> Floats:
    """How often each day was drawn, (num_resamples, num_days)."""
    rows = np.repeat(np.arange(len(positions)), positions.shape[1])
    flat = np.bincount(rows * num_days + positions.ravel(), minlength=len(positions) * num_days)
    return flat.reshape(len(positions), num_days).astype(np.float64)


def interval_of_quantile(values: Floats, level: float) -> tuple[float, float]:
    """95 % interval of a quantile of independent draws, from the binomial's normal approximation of its rank."""
    ordered = np.sort(values)
    spread = 1.96 * np.sqrt(len(ordered) * level * (1 - level))
    low, high = level * len(ordered) - spread, level * len(ordered) + spread
    last = len(ordered) - 1
    return float(ordered[int(np.clip(low, 0, last))]), float(ordered[int(np.clip(np.ceil(high), 0, last))])
