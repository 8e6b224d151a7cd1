"""The torch model against LightGBM on the identical rows: trained, stopped and judged on the same three parts."""

from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tests.year.fitted import Fitted, between, fit_until, inputs_of
from training.evaluate import Metrics, measure
from training.training_set import GATE, HELD_OUT, TRAIN

pytestmark = pytest.mark.long

ENDS = [datetime(2013, month, 1, tzinfo=UTC) for month in (4, 6, 8, 10, 12)]
LARGEST_DIFFERENCE = 0.010
SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 63,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 0,
    "verbosity": -1,
}
MOST_TREES, PATIENCE = 800, 50


def coded(fitted: Fitted) -> dict[str, NDArray[np.float32]]:
    """Each part as one matrix; a category's code is its place among the training rows' values, unseen is absent."""
    rows = {name: inputs_of(fitted.part(name)) for name in (TRAIN, HELD_OUT, GATE)}
    known = [
        {value: code for code, value in enumerate(np.unique(column.astype(str)))}
        for column in rows[TRAIN].categorical.T
    ]
    return {
        name: np.column_stack(
            [part.numeric]
            + [
                np.array([codes.get(value, np.nan) for value in column], np.float32)
                for column, codes in zip(part.categorical.T, known, strict=True)
            ]
        )
        for name, part in rows.items()
    }


def lightgbm_probabilities(fitted: Fitted) -> NDArray[np.float64]:
    matrices = coded(fitted)
    labels = {name: inputs_of(fitted.part(name)).label for name in matrices}
    num_numeric = inputs_of(fitted.part(GATE)).numeric.shape[1]
    categorical = list(range(num_numeric, matrices[TRAIN].shape[1]))
    train = lightgbm.Dataset(matrices[TRAIN], labels[TRAIN], categorical_feature=categorical)
    held_out = lightgbm.Dataset(matrices[HELD_OUT], labels[HELD_OUT], reference=train)
    booster = lightgbm.train(
        SETTINGS,
        train,
        num_boost_round=MOST_TREES,
        valid_sets=[held_out],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return np.asarray(booster.predict(matrices[GATE]))


def auc_of(metrics: Metrics) -> float:
    assert metrics.auc is not None
    return metrics.auc


def show(folds: list[tuple[datetime, Metrics, Metrics]]) -> None:
    table = Table("gate window ends", "rows", "torch AUC", "LightGBM AUC", "torch log loss", "LightGBM log loss")
    for end, ours, theirs in folds:
        values = (auc_of(ours), auc_of(theirs), ours.log_loss, theirs.log_loss)
        table.add_row(f"{end:%Y-%m-%d}", str(ours.num_rows), *(f"{value:.4f}" for value in values))
    means = [np.mean([getattr(fold[side], name) for fold in folds]) for name in ("auc", "log_loss") for side in (1, 2)]
    table.add_row("mean", "", *(f"{mean:.4f}" for mean in means))
    Console(width=120).print(table)


def test_the_model_is_within_a_hundredth_of_lightgbm(year: pa.Table, tmp_path: Path) -> None:
    folds = []
    for end in ENDS:
        fitted = fit_until(between(year, datetime(2012, 1, 1, tzinfo=UTC), end), end, tmp_path / f"{end:%m}")
        gate = fitted.part(GATE)
        label = inputs_of(gate).label
        ours, theirs = fitted.probabilities(gate), lightgbm_probabilities(fitted)
        folds.append((end, measure(label, ours), measure(label, theirs)))
    show(folds)
    difference = np.mean([auc_of(theirs) - auc_of(ours) for _, ours, theirs in folds])
    assert difference <= LARGEST_DIFFERENCE
