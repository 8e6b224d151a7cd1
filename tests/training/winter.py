"""Seven real weeks of flights as an installation has them, and trainings on them: real lake, Feast and MLflow.

MLflow's client works on a database file here instead of on a server: the same store without a minute of start-up.
"""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from feature_repo import nycflights
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import TrainingState
from feature_repo.gold import build
from feature_repo.landing import write_delivery
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.database import migrate
from infra.local.keys import make_model_keys
from infra.settings import Settings
from tests.feature_repo import landed
from training.admission import admit
from training.control import Training, end, the_open_training
from training.digest import digest_of
from training.spec import SplitSpec, TrainingSpec
from training.training_set import GATE, DatasetFacts
from training.use_cases.flight_delay import TRAINING
from training.workspace import Workspace, write_json

NAME = TRAINING.contract.name
DELIVERED = DataInterval(start=datetime(2012, 12, 29, tzinfo=UTC), end=datetime(2013, 2, 18, tzinfo=UTC))
NOW = datetime(2013, 2, 17, tzinfo=UTC)
DAY = timedelta(days=1)
SPLIT = SplitSpec(held_out=timedelta(days=7), min_rows=10_000, min_rows_per_class=500)
# Wide and deep enough to learn what is there, in seconds.
SPEC = replace(
    TRAINING,
    split=SPLIT,
    model=replace(TRAINING.model, hidden=(64, 64), num_members=2),
    fit=replace(TRAINING.fit, num_epochs=3, batch_size=512, learning_rate=3e-3),
)


def make_lake(root: Path) -> None:
    landed.set_up(root)
    for name, rows in nycflights.feed():
        write_delivery(root, name, DELIVERED.end, landed.between(rows, DELIVERED.start, DELIVERED.end))
        landed.ingest(root, name, DELIVERED)
    build(TRANSFORMS, SOURCES, DELIVERED, lake=landed.lake_of(root))


def installation(root: Path) -> Settings:
    """Secrets, keys and the database in `root`, and a port at which nothing serves."""
    made = Settings(data_dir=root, serving_port=1)
    made.make_secrets()
    make_model_keys(root / "secrets")
    migrate(made.database)
    return made


def client_of(root: Path) -> MlflowClient:
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    if client.get_experiment_by_name(NAME) is None:
        client.create_experiment(NAME, artifact_location=(root / "artifacts").as_uri())
    return client


def open_training(settings: Settings, table: pa.Table, facts: DatasetFacts, spec: TrainingSpec = SPEC) -> Training:
    """A training whose set is kept already, as `python -m training dataset` leaves it."""
    database = settings.database
    admitted = admit(database, spec, now=NOW, wall=datetime.now(UTC), requested="a test asks")
    workspace = Workspace.of(settings.root, admitted.training_id)
    pq.write_table(table, workspace.dataset)
    kept = replace(facts, digest=digest_of(table))
    write_json(workspace.dataset_facts, asdict(kept))
    return the_open_training(database, NAME)


def give_up(settings: Settings, training: Training) -> None:
    end(settings.database, training.training_id, TrainingState.FAILED, "the test is over", now=NOW)


def with_shuffled_labels(table: pa.Table, seed: int = 0) -> pa.Table:
    """The labels of all rows but the gate's in another order: the features say nothing of them any more."""
    label = table["label"].to_numpy().copy()
    learned_from = np.flatnonzero(np.array(table["split"].to_pylist()) != GATE)
    label[learned_from] = np.random.default_rng(seed).permutation(label[learned_from])
    index = table.schema.get_field_index("label")
    return table.set_column(index, table.schema.field(index), pa.array(label, table.schema.field(index).type))


def versions(client: MlflowClient) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{NAME}'"))
