"""Probabilities from an exported model, by ONNX Runtime: what the gate and the export check believe."""

from collections.abc import Iterator

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from feature_repo.contracts.model_package import CATEGORICAL_INPUT, NUMERIC_INPUT, PROBABILITY_OUTPUT
from training.rows import Rows

BATCH = 512  # what is between two nodes of the graph stays in a core's cache


def open_session(serialised: bytes) -> onnxruntime.InferenceSession:
    """Call it only on bytes that were made here or whose signature was checked."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # more of them spin while they wait
    return onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])


def score(session: onnxruntime.InferenceSession, rows: Rows, *, batch_size: int = BATCH) -> NDArray[np.float32]:
    """`(rows,)` probabilities."""
    return np.concatenate([np.empty(0, np.float32), *batches(session, rows, batch_size)])


def batches(session: onnxruntime.InferenceSession, rows: Rows, size: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        both = {NUMERIC_INPUT: part.numeric, CATEGORICAL_INPUT: part.categorical}
        # A model without inputs of a kind has no such input.
        inputs = {name: values for name, values in both.items() if values.shape[1]}
        yield session.run([PROBABILITY_OUTPUT], inputs)[0]
