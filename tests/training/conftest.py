"""Rows with a known relation to the label, absent values and rare categories; small enough to train on in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.rows import Rows
from training.spec import FitSpec, ModelSpec

if TYPE_CHECKING:
    from feast import FeatureStore

    from training.training_set import DatasetFacts

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


@pytest.fixture(scope="session")
def winter_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven weeks of real flights, ingested and built. Read it; whoever writes takes another folder."""
    from tests.training import winter

    root = tmp_path_factory.mktemp("winter")
    winter.make_lake(root)
    return root


@pytest.fixture(scope="session")
def feast(winter_root: Path) -> "FeatureStore":
    from feature_repo.offline import apply
    from infra.settings import Settings
    from tests.feature_repo import landed

    apply(Settings(data_dir=winter_root))
    return landed.feast_of(winter_root)


@pytest.fixture(scope="session")
def dataset(winter_root: Path, feast: "FeatureStore") -> "tuple[pa.Table, DatasetFacts]":
    """What `python -m training dataset` keeps."""
    from tests.feature_repo import landed
    from tests.training import winter
    from training.dataset import build_dataset
    from training.training_set import DatasetFacts
    from training.workspace import Workspace

    empty = DatasetFacts(digest="", feature_service="", parts={}, unlabelled={}, gold_versions={})
    training = winter.open_training(winter.installation(winter_root), pa.table({"label": [0]}), empty)
    facts = build_dataset(lambda: feast, winter.SPEC, training, landed.gold_of(winter_root), data_dir=winter_root)
    return pq.read_table(Workspace.of(winter_root, training.training_id).dataset), facts
