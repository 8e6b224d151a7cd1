"""A model as training makes it, from the rows of a table that end anywhere: split, fitted, exported, asked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.contracts.base import DataInterval
from training.dataset import split_intervals, split_of
from training.export import export
from training.loop import fit
from training.rows import Rows, rows_of
from training.scoring import open_session, score
from training.training_set import GATE, HELD_OUT, TRAIN
from training.use_cases.flight_delay import TRAINING


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """`split` names the part of each row of `table`."""

    table: pa.Table
    split: NDArray[np.object_]
    session: onnxruntime.InferenceSession
    graph: bytes

    def part(self, name: str) -> pa.Table:
        return self.table.filter(pa.array(self.split == name))

    def probabilities(self, table: pa.Table) -> NDArray[np.float64]:
        return score(self.session, inputs_of(table)).astype(np.float64)


def inputs_of(table: pa.Table) -> Rows:
    return rows_of(table, numeric=TRAINING.numeric, categorical=TRAINING.categorical)


def between(table: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """Rows asked about in `[start, end)`."""
    times = table["prediction_time"]
    inside = pc.and_(pc.greater_equal(times, pa.scalar(start)), pc.less(times, pa.scalar(end)))
    return table.filter(inside)


def split(table: pa.Table, end: datetime) -> NDArray[np.object_]:
    """The parts that a training gets whose last row comes just before `end`."""
    start = table["prediction_time"][0].as_py() - timedelta(microseconds=1)
    intervals = split_intervals(TRAINING, DataInterval(start=start, end=end))
    return np.asarray(split_of(table["prediction_time"], intervals))


def fit_until(table: pa.Table, end: datetime, folder: Path) -> Fitted:
    parts = split(table, end)
    rows = {name: inputs_of(table.filter(pa.array(parts == name))) for name in (TRAIN, HELD_OUT, GATE)}
    folder.mkdir(parents=True)
    model, vocabularies, _ = fit(
        rows[TRAIN],
        rows[HELD_OUT],
        model_spec=TRAINING.model,
        spec=TRAINING.fit,
        identity="test",
        checkpoint=folder / "checkpoint",
        on_epoch=print,
    )
    graph = export(model, vocabularies, rows[GATE])
    return Fitted(table=table, split=parts, session=open_session(graph), graph=graph)
