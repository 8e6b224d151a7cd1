"""The two scores of the report, from labels and probabilities alone, so that anybody can recompute them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SMALLEST_PROBABILITY = 1e-7  # a float32 probability that rounds to 0 or 1 must not cost infinity


def area_under_curve(label: Floats, probability: Floats) -> float | None:
    """Chance that a positive row is ranked above a negative one, ties counting half; None without both classes."""
    num_positive = int(label.sum())
    num_negative = len(label) - num_positive
    if num_positive == 0 or num_negative == 0:
        return None
    _, group, size = np.unique(probability, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(size) - (size - 1) / 2
    ranks = middle_rank[group][label == 1].sum()
    return float((ranks - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def mean_log_loss(label: Floats, probability: Floats) -> float | None:
    """In nats per row; None without rows."""
    if len(label) == 0:
        return None
    safe = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return float(-np.mean(label * np.log(safe) + (1 - label) * np.log1p(-safe)))
