"""What a window is compared with: the rows that the served version was trained on, and how well it does on them.

The rows after training (for stopping, and the gate's) tell its skill; all of them tell what its inputs look like. Both
need the model once per version, so the result is kept beside the reports.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from feature_repo.contracts.base import ColumnType, UseCase
from infra.database import reading
from infra.database.schema import trainings
from infra.settings import Settings
from infra.whole_file import whole_file
from monitoring.answers import strings
from monitoring.errors import ReferenceMissing
from monitoring.package import Model, load_served_model
from monitoring.performance import log_losses
from monitoring.sample import Floats, Sample, concatenate
from monitoring.spec import MonitoringSpec

TRAIN_SPLIT = "train"
MOST_TRAIN_ROWS = 20_000
MOST_HELD_OUT_ROWS = 10_000
IMPORTANCE_ROWS = 1000
WEIGHTS = b"weights"
HELD_OUT = "held_out"


@dataclass(frozen=True, kw_only=True)
class ServedVersion:
    version: str
    training_id: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Reference:
    """All with the version's own probabilities. `held_out` are those of `rows` that training did not touch; `weights`
    by column are the rise of log loss in nats when the column is shuffled, 0 for one that the model does not see.
    """

    served: ServedVersion
    rows: Sample
    held_out: Sample
    weights: dict[str, float]


def find_version(database: str, use_case: UseCase, version: str) -> ServedVersion:
    """Raises ReferenceMissing if no training made this version: it was registered by hand."""
    query = select(trainings.c.training_id, trainings.c.run_id).where(
        trainings.c.use_case == use_case.name, trainings.c.model_version == version
    )
    with reading(database) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise ReferenceMissing(
            f"{use_case.name} version {version}: no training made it, so there are no rows to compare with; "
            "release a version that a training of this installation registered"
        )
    return ServedVersion(version=version, training_id=str(row.training_id), run_id=str(row.run_id))


def dataset_path(root: Path, training_id: str) -> Path:
    return root / "trainings" / training_id / "dataset.parquet"


def cache_path(root: Path, use_case: UseCase, version: str) -> Path:
    return root / "monitoring" / use_case.name / f"reference_v{version}.parquet"


def read_reference(
    settings: Settings,
    spec: MonitoringSpec,
    version: str,
    *,
    load_model: Callable[[Settings, str], Model] = load_served_model,
) -> Reference:
    """Kept from an earlier check, or made now. Raises ReferenceMissing, or what `load_model` raises."""
    served = find_version(settings.database, spec.contract, version)
    path = cache_path(settings.root, spec.contract, version)
    if not path.exists():
        table = make_reference(
            spec, dataset_path(settings.root, served.training_id), load_model(settings, served.run_id)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            pq.write_table(table, unfinished, compression="zstd")
    return reference_of(spec, served, read_rows(path))


def read_rows(path: Path) -> pa.Table:
    """Not by `read_table`, which imports pandas to look at a single file."""
    with pq.ParquetFile(path) as file:
        return file.read()


def reference_of(spec: MonitoringSpec, served: ServedVersion, table: pa.Table) -> Reference:
    """From a table of `make_reference`."""
    rows = sample_of_table(spec.contract, table)
    return Reference(
        served=served,
        rows=rows,
        held_out=rows.where(np.array(table[HELD_OUT].to_pylist(), bool)),
        weights=json.loads((table.schema.metadata or {})[WEIGHTS]),
    )


def make_reference(spec: MonitoringSpec, dataset: Path, model: Model) -> pa.Table:
    """A sample of the training set with the version's answers, and the importance of its inputs."""
    if not dataset.exists():
        raise ReferenceMissing(f"the training set {dataset} is gone; restore it, or train and release a new version")
    table = read_rows(dataset)
    everything = sample_of_table(spec.contract, table)
    is_train = np.array(table["split"].to_pylist()) == TRAIN_SPLIT
    train = with_probability(everything.where(is_train).at_most(MOST_TRAIN_ROWS), model)
    held_out = with_probability(everything.where(~is_train).at_most(MOST_HELD_OUT_ROWS), model)
    weights = importance(model, held_out.labelled.at_most(IMPORTANCE_ROWS))
    made = table_of_sample(spec.contract, concatenate([train, held_out]))
    flags = np.repeat([False, True], [len(train), len(held_out)])
    return made.append_column(HELD_OUT, pa.array(flags)).replace_schema_metadata(
        {WEIGHTS: json.dumps(weights, allow_nan=False)}
    )


def with_probability(sample: Sample, model: Model) -> Sample:
    return Sample(
        numeric=sample.numeric,
        categorical=sample.categorical,
        at=sample.at,
        probability=model.predict(sample),
        label=sample.label,
    )


def importance(model: Model, sample: Sample, *, seed: int = 0) -> dict[str, float]:
    """Rise of log loss when one input's values are shuffled among the rows; never below 0. Of no rows, nothing."""
    if not len(sample):
        return {}
    rng = np.random.default_rng(seed)
    before = float(log_losses(sample.label, sample.probability).mean())
    weights = {}
    for name in model.inputs():
        order = rng.permutation(len(sample))
        shuffled = Sample(
            numeric={key: values[order] if key == name else values for key, values in sample.numeric.items()},
            categorical={key: values[order] if key == name else values for key, values in sample.categorical.items()},
            at=sample.at,
            probability=sample.probability,
            label=sample.label,
        )
        after = float(log_losses(sample.label, model.predict(shuffled)).mean())
        weights[name] = max(after - before, 0.0)
    return weights


def floats_of(table: pa.Table, name: str) -> Floats:
    column = table[name].cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(column, np.float64)


def sample_of_table(use_case: UseCase, table: pa.Table) -> Sample:
    """A training set or a kept reference as a sample; without a `probability` column it is NaN."""
    missing = sorted({column.name for column in use_case.vector} - set(table.column_names))
    if missing:
        raise ReferenceMissing(
            f"{use_case.name}: the training set lacks columns {missing} of the contract; release a version that was "
            "trained on the present feature service"
        )
    texts = [column.name for column in use_case.vector if column.type is ColumnType.STRING]
    numeric = [column.name for column in use_case.vector if column.type is not ColumnType.STRING]
    known = "probability" in table.column_names
    return Sample(
        numeric={name: floats_of(table, name) for name in numeric},
        categorical={name: strings([value or "" for value in table[name].to_pylist()]) for name in texts},
        at=table["prediction_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        probability=floats_of(table, "probability") if known else np.full(len(table), np.nan),
        label=floats_of(table, "label"),
    )


def table_of_sample(use_case: UseCase, sample: Sample) -> pa.Table:
    columns: dict[str, pa.Array] = {name: pa.array(values) for name, values in sample.numeric.items()}
    columns |= {name: pa.array(values.tolist(), pa.string()) for name, values in sample.categorical.items()}
    assert set(columns) == {column.name for column in use_case.vector}
    columns["prediction_time"] = pa.array(sample.at).cast(pa.timestamp("us", "UTC"))
    columns["probability"] = pa.array(sample.probability)
    columns["label"] = pa.array(sample.label)
    return pa.table(columns)
