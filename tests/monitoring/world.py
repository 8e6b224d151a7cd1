"""A small installation with a known truth: one strong input, one weak, the weather, a category; days that differ.

The served model knows the truth of the reference, so that skill falls exactly when the test changes the truth.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.contracts.base import (
    Column,
    ColumnType,
    FeatureViewContract,
    Label,
    RequestField,
    RequestType,
    TaskType,
    UseCase,
    Value,
)
from feature_repo.contracts.prediction_log import DDL as LOG_DDL
from infra.clock import from_microseconds, to_microseconds
from infra.database import migrate, writing
from infra.lake import LABELS
from infra.settings import Settings
from monitoring.check import check
from monitoring.results import Result
from monitoring.sample import Floats, Sample
from monitoring.spec import DriftPolicy, MonitoringSpec
from tests.feature_repo import landed

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def no_request_features(request: Mapping[str, object], features: Mapping[str, Value]) -> dict[str, Value]:
    return {}


USE_CASE = UseCase(
    name="flight_delay",
    owner="somebody",
    description="A known truth",
    task_type=TaskType.BINARY_CLASSIFICATION,
    feature_service="known_v1",
    port_offset=0,
    sources=("events",),
    views=(
        FeatureViewContract(
            name="known",
            join_keys=("key",),
            columns=(
                *(Column(name=name, type=ColumnType.FLOAT32) for name in ("strong", "weak", "weather_heat")),
                Column(name="category", type=ColumnType.STRING),
            ),
            ttl=DAY,
        ),
    ),
    request=(
        RequestField(name="key", type=RequestType.INTEGER),
        RequestField(name="scheduled_departure", type=RequestType.TIMESTAMP),
    ),
    request_columns=(),
    request_features=no_request_features,
    label=Label(name="late", max_delay=timedelta(hours=36)),
    step=timedelta(hours=1),
    lag=timedelta(minutes=5),
    gate_window=timedelta(days=14),
    decision_threshold=0.5,
)
SPEC = MonitoringSpec(contract=USE_CASE, owner_of_data="data", runbook="none", drift=DriftPolicy(exempt=("weather_",)))
WEIGHTS = {"strong": 0.2, "weak": 0.01, "weather_heat": 0.1, "category": 0.0}


def sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)))


def truth(sample: Sample) -> Floats:
    return sigmoid(-1 + 1.5 * np.nan_to_num(sample.numeric["strong"]))


class TrueModel:
    """The edge where a test's model stands in for the package in the registry."""

    def inputs(self) -> tuple[str, ...]:
        return ("strong", "weak", "weather_heat", "category")

    def predict(self, sample: Sample) -> Floats:
        return truth(sample)


def draw(
    seed: int, *, num_days: int, rows_per_day: int, first: datetime = START, shift: float = 0.0, decay: float = 0.0
) -> Sample:
    """Rows whose days differ a little. `shift` moves the strong input; `decay`: share of labels made at random."""
    rng = np.random.default_rng(seed)
    size = num_days * rows_per_day
    day = np.repeat(np.arange(num_days), rows_per_day)
    strong = rng.standard_normal(size) + 0.2 * rng.standard_normal(num_days)[day] + shift
    weak = rng.standard_normal(size) + 0.2 * rng.standard_normal(num_days)[day]
    heat = rng.standard_normal(size) + 0.05 * day
    category = np.array(["a", "b", "c"], object)[rng.integers(0, 3, size)]
    at = to_microseconds(first) + day * 86_400_000_000 + rng.integers(0, 86_400_000_000, size)
    sample = Sample(
        numeric={"strong": strong, "weak": weak, "weather_heat": heat},
        categorical={"category": category},
        at=np.sort(at),
        probability=np.zeros(size),
        label=np.zeros(size),
    )
    probability = truth(sample)
    label = (rng.random(size) < probability).astype(np.float64)
    random = (rng.random(size) < label.mean()).astype(np.float64)
    label = np.where(rng.random(size) < decay, random, label)
    return replace(sample, probability=probability, label=label)


@dataclass
class Installation:
    """A data folder with a version 1 that was trained on `reference`."""

    root: Path
    settings: Settings = field(init=False)
    num_logged: int = 0

    def __post_init__(self) -> None:
        self.settings = Settings(data_dir=self.root, serving_port=1, mlflow_port=1)
        self.settings.make_secrets()
        migrate(self.settings.database)
        with closing(sqlite3.connect(self.settings.prediction_log)) as connection:
            connection.executescript(LOG_DDL)

    def execute(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """A statement in SQLite's words on the database that the layers share."""
        with writing(self.settings.database) as connection:
            result = connection.exec_driver_sql(query, values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def train(self, version: str, reference: Sample, *, state: str = "passed") -> None:
        """Register a version as TRAINING leaves it: the newest 28 days are split into stop and gate."""
        folder = self.root / "trainings" / f"t{version}"
        folder.mkdir(parents=True)
        end = int(reference.at.max())
        age = (end - reference.at) / 86_400_000_000
        columns: dict[str, object] = {
            name: pa.array(values, pa.float32()) for name, values in reference.numeric.items()
        }
        columns |= {name: values.tolist() for name, values in reference.categorical.items()}
        columns["label"] = pa.array(reference.label).cast(pa.int8())
        columns["prediction_time"] = pa.array(reference.at).cast(pa.timestamp("us", "UTC"))
        columns["split"] = np.where(age > 28, "train", np.where(age > 14, "stop", "gate")).tolist()
        pq.write_table(pa.table(columns), folder / "dataset.parquet")
        self.execute(
            "INSERT INTO trainings (training_id, use_case, state, admitted_at, admitted_at_wall, run_id, "
            "model_version, reason) VALUES (?, ?, ?, ?, 0, 'run', ?, '')",
            *(f"t{version}", USE_CASE.name, state, end, version),
        )

    def answer(
        self, sample: Sample, *, version: str = "1", replayed: bool = False, known: bool = True, cancelled: int = 0
    ) -> None:
        """Log the rows as answers of `version`; `known`: their outcomes reach the lake, the first as cancelled."""
        rows, outcomes = [], []
        for position in range(len(sample)):
            self.num_logged += 1
            at = int(sample.at[position])
            departure = from_microseconds(at) + timedelta(hours=2)
            vector = [values[position] for values in sample.numeric.values()]
            vector = [None if np.isnan(value) else float(value) for value in vector]
            vector += [values[position] for values in sample.categorical.values()]
            request = {"key": self.num_logged, "scheduled_departure": departure.isoformat().replace("+00:00", "Z")}
            identity = f"p{self.num_logged}"
            facts = (json.dumps(request), json.dumps(vector), float(sample.probability[position]))
            rows.append(
                (identity, USE_CASE.name, identity, at, 0, replayed, version, "known_v1", *facts, 0, "[]", "{}")
            )
            label = None if position < cancelled else int(sample.label[position])
            outcome = "cancelled" if position < cancelled else "arrived"
            outcomes.append((self.num_logged, departure, label, outcome, departure + timedelta(hours=4)))
        with closing(sqlite3.connect(self.settings.prediction_log)) as connection, connection:
            connection.executemany(
                "INSERT INTO predictions (prediction_id, use_case, idempotency_key, requested_at, logged_at, replayed, "
                "model_version, feature_service, request, vector, probability, decision, degraded, answer) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        if known:
            self.write_labels(outcomes)

    def write_labels(self, outcomes: list[tuple[int, datetime, int | None, str, datetime]]) -> None:
        names = ("key", "scheduled_departure", "label", "outcome", "known_at")
        stamp = pa.timestamp("us", "UTC")
        types = (pa.int64(), stamp, pa.int8(), pa.string(), stamp)
        columns = {
            name: pa.array(values, type_)
            for name, values, type_ in zip(names, zip(*outcomes, strict=True), types, strict=True)
        }
        held = landed.gold(self.root, LABELS, USE_CASE.name)
        landed.write_gold(
            self.root,
            LABELS,
            pa.concat_tables([held, pa.table(columns)], promote_options="default"),
            "known_at",
            USE_CASE.name,
        )

    def check(self, now: datetime) -> Result:
        return check(self.settings, SPEC, now=now, load_model=lambda *_: TrueModel())
