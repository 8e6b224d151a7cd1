"""The training set of one training: population, labels and vectors, split by time, kept with its digest.

Everything is taken as of the training's admission, so that a command that was killed and runs again makes the same
bytes. The gate's rows are the last, before them come those that choose the epoch; nothing is fitted to the gate's.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.contracts.base import DataInterval
from infra.clock import to_microseconds
from infra.lake import Lake, Snapshot
from infra.whole_file import whole_file
from training.control import Training
from training.digest import digest_of
from training.errors import UnfitData
from training.population import read_population
from training.spec import TrainingSpec
from training.training_set import GATE, HELD_OUT, TRAIN, DatasetFacts, Part
from training.workspace import Workspace, write_json

if TYPE_CHECKING:
    from feast import FeatureStore


PIN = "training"


def build_dataset(
    open_store: Callable[[], "FeatureStore"],
    spec: TrainingSpec,
    training: Training,
    gold: Snapshot,
    *,
    data_dir: Path,
) -> DatasetFacts:
    """Write `dataset.parquet` and `dataset.json` of a training, all of it read from the snapshot `gold`.

    Raises UnfitData, with the counts, before any join.
    """
    workspace = Workspace.of(data_dir, training.training_id)
    population = read_population(gold, spec.contract, now=training.admitted_at)
    intervals = split_intervals(spec, population.interval)
    times = population.rows["prediction_time"]
    split = split_of(times, intervals)
    parts = count_parts(split, population.rows["label"].to_numpy(), intervals)
    check_fit(spec, parts, population.unlabelled)
    from training.features import add_vectors  # and Feast with it: seconds that a refusal does not wait for

    table = add_vectors(open_store(), spec.contract, population.rows).append_column("split", pa.array(split))
    with whole_file(workspace.dataset) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")
    facts = DatasetFacts(
        digest=digest_of(table),
        feature_service=spec.contract.feature_service,
        parts=parts,
        unlabelled=population.unlabelled,
        gold_versions=dict(gold.versions),
    )
    write_json(workspace.dataset_facts, asdict(facts))
    return facts


def keep_gold(lake: Lake, gold: Snapshot, training: Training, *, data_dir: Path) -> None:
    """Have the versions that a training set is made of stay for as long as its folder; those of gone folders may go."""
    lake.pin(gold, f"{PIN}/{training.training_id}")
    for holder in lake.holders(PIN):
        if not Workspace.folder_of(data_dir, holder.removeprefix(f"{PIN}/")).exists():
            lake.unpin(holder)


def split_intervals(spec: TrainingSpec, whole: DataInterval) -> dict[str, DataInterval]:
    """Raises UnfitData if the data is not longer than what is held out of training."""
    gate_start = whole.end - spec.contract.gate_window
    held_out_start = gate_start - spec.split.held_out
    if whole.start >= held_out_start:
        left_out: timedelta = spec.contract.gate_window + spec.split.held_out
        raise UnfitData(f"{spec.contract.name}: data of {whole} is not longer than the {left_out} that are held out")
    return {
        TRAIN: DataInterval(start=whole.start, end=held_out_start),
        HELD_OUT: DataInterval(start=held_out_start, end=gate_start),
        GATE: DataInterval(start=gate_start, end=whole.end),
    }


def split_of(
    times: pa.ChunkedArray, intervals: dict[str, DataInterval]
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    instants = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    starts = [to_microseconds(interval.start) for interval in intervals.values()]
    names = np.array(list(intervals), dtype=object)
    return np.asarray(names[np.searchsorted(starts, instants, side="right") - 1])


def count_parts(
    split: np.ndarray[tuple[int], np.dtype[np.object_]],
    label: np.ndarray[tuple[int], np.dtype[np.int8]],
    intervals: dict[str, DataInterval],
) -> dict[str, Part]:
    return {
        name: Part(
            start=interval.start.isoformat(),
            end=interval.end.isoformat(),
            num_rows=int((split == name).sum()),
            num_positive=int(label[split == name].sum()),
        )
        for name, interval in intervals.items()
    }


def check_fit(spec: TrainingSpec, parts: dict[str, Part], unlabelled: dict[str, int]) -> None:
    """Raises UnfitData if there is too little to learn from or to judge by."""
    train, needed = parts[TRAIN], spec.split
    counts = ", ".join(
        f"{name}: {part.num_rows} rows of which {part.num_positive} positive" for name, part in parts.items()
    )
    counts = f"{counts}; without a label: {sum(unlabelled.values())}"
    if train.num_rows < needed.min_rows:
        raise UnfitData(f"{spec.contract.name}: fewer than {needed.min_rows} rows to train on ({counts})")
    if min(train.num_positive, train.num_rows - train.num_positive) < needed.min_rows_per_class:
        raise UnfitData(
            f"{spec.contract.name}: fewer than {needed.min_rows_per_class} rows of one class to train on ({counts})"
        )
    for name in (HELD_OUT, GATE):
        if not 0 < parts[name].num_positive < parts[name].num_rows:
            raise UnfitData(f"{spec.contract.name}: the rows of {name} do not have both classes ({counts})")
