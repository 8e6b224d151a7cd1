"""Our distances are SciPy's, and so Evidently's."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance as of_scipy

from monitoring.distance import jensen_shannon_distance, wasserstein_distance


@pytest.mark.parametrize(("rows", "others"), [(1, 1), (100, 7), (3000, 5000)])
def test_wasserstein_is_scipys_also_with_ties(rows: int, others: int) -> None:
    rng = np.random.default_rng(rows)
    first, second = rng.integers(-5, 5, rows).astype(float), rng.normal(1, 3, others).round(1)

    assert wasserstein_distance(first, second) == pytest.approx(of_scipy(first, second), rel=1e-12)


def test_jensen_shannon_is_scipys_along_the_last_axis_and_without_shares() -> None:
    rng = np.random.default_rng(0)
    shares, whole = rng.random((50, 9)), rng.random(9)
    shares[:, 3], shares[7], whole[4] = 0, whole, 0

    expected = jensenshannon(shares, np.broadcast_to(whole, shares.shape), axis=1)

    assert jensen_shannon_distance(shares, whole) == pytest.approx(expected, abs=1e-7)
