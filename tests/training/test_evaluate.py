"""The metrics are those of scikit-learn, and a digest is of values."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from training.digest import digest_of
from training.evaluate import expected_calibration_error, measure


def test_metrics_agree_with_the_reference_implementation() -> None:
    random = np.random.default_rng(0)
    probability = np.round(random.random(5000), 2).clip(0.01, 0.99)  # with ties
    label = (random.random(5000) < probability).astype(float)
    metrics = measure(label, probability)
    assert metrics.auc == pytest.approx(roc_auc_score(label, probability))
    assert metrics.log_loss == pytest.approx(log_loss(label, probability))
    assert metrics.brier == pytest.approx(brier_score_loss(label, probability))


def test_the_calibration_error_is_the_distance_from_the_observed_rate() -> None:
    label = np.array([0.0, 1.0] * 500)
    assert expected_calibration_error(label, np.full(1000, 0.7)) == pytest.approx(0.2)


def test_a_single_class_has_no_ranking() -> None:
    assert np.isnan(measure(np.zeros(10), np.linspace(0, 1, 10)).auc)


def test_a_digest_depends_on_values_and_not_on_chunks_or_on_bytes_under_a_null() -> None:
    values = [1.5, None, 3.0]
    whole = pa.table({"x": pa.array(values, pa.float32()), "s": ["a", "", None]})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert digest_of(whole) == digest_of(chunked)
    for other in ([1.5, 0.0, 3.0], [1.5, None, 3.5]):
        assert digest_of(pa.table({"x": pa.array(other, pa.float32()), "s": ["a", "", None]})) != digest_of(whole)
    assert digest_of(pa.table({"x": pa.array(values, pa.float32()), "s": ["a", None, ""]})) != digest_of(whole)
