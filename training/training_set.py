"""A training set as it is kept: rows in `dataset.parquet`, facts in `dataset.json`, and no row without its digest."""

import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.digest import digest_of
from training.errors import TrainingError
from training.workspace import Workspace

TRAIN, HELD_OUT, GATE = "train", "held_out", "gate"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the split: half-open in time, with its rows and how many of them are positive."""

    start: str
    end: str
    num_rows: int
    num_positive: int


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """`gold_versions`: the Delta version of each gold table that it was made of."""

    digest: str
    feature_service: str
    parts: dict[str, Part]
    unlabelled: dict[str, int]
    gold_versions: dict[str, int]


def read_facts(workspace: Workspace) -> DatasetFacts:
    try:
        stored = json.loads(workspace.dataset_facts.read_text())
    except FileNotFoundError as error:
        raise TrainingError(f"{workspace.folder} has no training set; run first: python -m training dataset") from error
    parts = {name: Part(**part) for name, part in stored.pop("parts").items()}
    return DatasetFacts(parts=parts, **stored)


def read_dataset(workspace: Workspace, facts: DatasetFacts) -> pa.Table:
    """Raises TrainingError unless the rows are those that were digested."""
    table = pq.read_table(workspace.dataset)
    digest = digest_of(table)
    if digest != facts.digest:
        raise TrainingError(f"{workspace.dataset} has digest {digest}, expected {facts.digest}; build it again")
    return table


def part_of(table: pa.Table, name: str) -> pa.Table:
    return table.filter(pc.equal(table["split"], name))
