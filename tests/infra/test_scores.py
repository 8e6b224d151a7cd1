import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from infra.local.scores import area_under_curve, mean_log_loss


@pytest.mark.parametrize("decimals", [1, 7], ids=["many ties", "few ties"])
def test_scores_equal_scikit_learns(decimals: int) -> None:
    generator = np.random.default_rng(1)
    probability = generator.random(5000).round(decimals).clip(0.01, 0.99)
    label = (generator.random(5000) < probability).astype(np.float64)
    assert area_under_curve(label, probability) == pytest.approx(roc_auc_score(label, probability), abs=1e-12)
    assert mean_log_loss(label, probability) == pytest.approx(log_loss(label, probability), abs=1e-12)


def test_one_class_has_no_area_and_no_rows_have_no_loss() -> None:
    assert area_under_curve(np.ones(3), np.array([0.1, 0.2, 0.3])) is None
    assert mean_log_loss(np.array([]), np.array([])) is None
    certain = mean_log_loss(np.ones(1), np.zeros(1))
    assert certain is not None
    assert np.isfinite(certain)
