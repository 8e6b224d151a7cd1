"""The metrics are those of scikit-learn, and a digest is of values."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from training.digest import digest_of
from training.evaluate import expected_calibration_error, measure, measure_slices
from training.rows import slice_names


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


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_single_class_has_no_ranking(label: float) -> None:
    metrics = measure(np.full(10, label), np.linspace(0, 1, 10))
    assert metrics.auc is None
    assert all(np.isfinite(value) for value in asdict(metrics).values() if value is not None)


def test_a_row_without_a_value_is_in_the_slice_of_no_name_and_a_zero_is_not() -> None:
    names = slice_names(pa.chunked_array([[0, None], [7, 0]]))
    assert names.tolist() == ["0", "", "7", "0"]
    found = measure_slices(np.array([0.0, 1, 0, 1]), np.full(4, 0.5), names, min_rows=1)
    assert {name: each.num_rows for name, each in found.items()} == {"0": 2, "": 1, "7": 1}
    assert len(slice_names(pa.chunked_array([], pa.string()))) == 0


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_table_without_rows_has_a_digest_of_its_columns(chunks: int) -> None:
    schema = pa.schema([("x", pa.float32()), ("s", pa.string()), ("at", pa.timestamp("us", "UTC"))])
    nothing = pa.Table.from_batches([pa.RecordBatch.from_pylist([], schema)] * chunks, schema)
    assert digest_of(nothing) == digest_of(schema.empty_table()) != digest_of(nothing.drop_columns(["s"]))


def test_a_digest_depends_on_values_and_not_on_chunks_or_on_bytes_under_a_null() -> None:
    values = [1.5, None, 3.0]
    whole = pa.table({"x": pa.array(values, pa.float32()), "s": ["a", "", None]})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert digest_of(whole) == digest_of(chunked)
    for other in ([1.5, 0.0, 3.0], [1.5, None, 3.5]):
        assert digest_of(pa.table({"x": pa.array(other, pa.float32()), "s": ["a", "", None]})) != digest_of(whole)
    assert digest_of(pa.table({"x": pa.array(values, pa.float32()), "s": ["a", None, ""]})) != digest_of(whole)
