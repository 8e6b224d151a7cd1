"""Rows with a known relation to the label, absent values and rare categories; small enough to train on in seconds."""

from collections.abc import Callable

import numpy as np
import pytest

from training.rows import Rows
from training.spec import FitSpec, ModelSpec

MakeRows = Callable[..., Rows]


@pytest.fixture
def make_rows() -> MakeRows:
    def make(num_rows: int = 4000, *, seed: int = 0, num_categories: int = 2) -> Rows:
        random = np.random.default_rng(seed)
        numeric = random.normal(size=(num_rows, 5)).astype(np.float32)
        numeric[:, 2] = np.round(numeric[:, 2] * 3)
        numeric[:, 3] = np.exp(numeric[:, 3] * 3)
        numeric[:, 4] = 7.0
        airports = np.array(["EWR", "JFK", "LGA", "", "once"], dtype=object)
        shares = [0.4, 0.3, 0.25, 0.0495, 0.0005]
        categorical = random.choice(airports, size=(num_rows, num_categories), p=shares)
        signal = numeric[:, 0] + np.sin(2 * numeric[:, 1]) + 0.3 * numeric[:, 2]
        if num_categories:
            signal += 0.8 * (categorical[:, 0] == "JFK")
        label = (random.random(num_rows) < 1 / (1 + np.exp(1 - signal))).astype(np.float32)
        numeric[random.random(numeric.shape) < 0.1] = np.nan
        return Rows(numeric=numeric, categorical=categorical, label=label)

    return make


@pytest.fixture
def model_spec() -> ModelSpec:
    return ModelSpec(hidden=(32, 32), num_members=2, dropout=0.1, input_noise=0.05)


@pytest.fixture
def fit_spec() -> FitSpec:
    return FitSpec(num_epochs=3, batch_size=256, learning_rate=5e-3)
