"""The two distances of drift, each equal to SciPy's, which Evidently uses: a test holds them together.

Written out, because SciPy's statistics take longer to import than a whole check takes to run.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def wasserstein_distance(first: Floats, second: Floats) -> float:
    """The area between two samples' distribution functions, in their unit; neither may be empty or hold a NaN."""
    values = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(sample), values[:-1], "right") / len(sample) for sample in (first, second)]
    return float(np.abs(shares[0] - shares[1]) @ np.diff(values))


def jensen_shannon_distance(first: Floats, second: Floats) -> Floats:
    """The root of the divergence, in nats' square root, between shares along the last axis, (..., num_categories)."""
    first, second = (shares / shares.sum(axis=-1, keepdims=True) for shares in (first, second))
    middle = (first + second) / 2
    divergence = sum(relative_entropy(shares, middle) for shares in (first, second)) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0)))


def relative_entropy(shares: Floats, of: Floats) -> Floats:
    """Along the last axis; a category without a share adds nothing."""
    ratio = np.divide(shares, of, out=np.ones(np.broadcast_shapes(shares.shape, of.shape)), where=shares > 0)
    return np.asarray((shares * np.log(ratio)).sum(axis=-1))
