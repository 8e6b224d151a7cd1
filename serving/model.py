"""A loaded model version: vectors in, probabilities out.

ONNX Runtime with one thread: a row takes tens of microseconds, and a pool of threads would fight the event loop for
two cores. The session is shared and never changed; a swap replaces the whole object.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import onnxruntime as ort

from feature_repo.contracts.base import Value
from feature_repo.contracts.model_package import CATEGORICAL_INPUT, NUMERIC_INPUT, PROBABILITY_OUTPUT, Manifest
from serving.errors import PackageRefused

NUM_WARM_UPS = 20
SLOWEST_PREDICTION_SECONDS = 0.25
ELEMENT_TYPE_BY_INPUT = {NUMERIC_INPUT: "tensor(float)", CATEGORICAL_INPUT: "tensor(string)"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """`numeric` and `categorical` are the positions of the inputs' columns in the vector."""

    version: str
    manifest: Manifest
    session: ort.InferenceSession
    numeric: tuple[int, ...]
    categorical: tuple[int, ...]
    inputs: frozenset[str]
    loaded_at_wall: int

    @classmethod
    def load(cls, raw: bytes, *, manifest: Manifest, version: str) -> Self:
        """Raises PackageRefused if the graph does not load, has other inputs, or does not answer with probabilities."""
        try:
            session = ort.InferenceSession(raw, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
            raise PackageRefused(f"ONNX Runtime does not load the model: {str(error)[:300]}") from error
        check_graph(session, manifest)
        position = {name: index for index, (name, _) in enumerate(manifest.vector)}
        model = cls(
            version=version,
            manifest=manifest,
            session=session,
            numeric=tuple(position[name] for name in manifest.numeric),
            categorical=tuple(position[name] for name in manifest.categorical),
            inputs=frozenset(node.name for node in session.get_inputs()),
            loaded_at_wall=time.time_ns() // 1000,
        )
        model.probe()
        return model

    @property
    def threshold(self) -> float:
        return self.manifest.decision_threshold

    def predict(self, vectors: Sequence[Sequence[Value]]) -> list[float]:
        """One probability per vector, exactly the float32 of the graph."""
        if not vectors:
            return []
        feeds = {}
        if NUMERIC_INPUT in self.inputs:
            rows = [[vector[index] for index in self.numeric] for vector in vectors]
            feeds[NUMERIC_INPUT] = np.array(rows, dtype=np.float32)  # (batch, num_numeric); None becomes NaN
        if CATEGORICAL_INPUT in self.inputs:
            words = [[vector[index] or "" for index in self.categorical] for vector in vectors]
            feeds[CATEGORICAL_INPUT] = np.array(words, dtype=object)  # (batch, num_categorical)
        (probabilities,) = self.session.run([PROBABILITY_OUTPUT], feeds)
        return [float(probability) for probability in probabilities]

    def probe(self) -> None:
        """Warm up, and raise PackageRefused unless absent and ordinary values give finite probabilities in time."""
        absent: list[Value] = [None for _ in self.manifest.vector]
        ordinary: list[Value] = ["" if type_ == "string" else 1 for _, type_ in self.manifest.vector]
        try:
            answers = self.predict([absent, ordinary]) + self.predict([ordinary])
            slowest = max(self.time_prediction(absent) for _ in range(NUM_WARM_UPS))
        except Exception as error:  # as above
            raise PackageRefused(f"the model fails on a probe: {str(error)[:300]}") from error
        if len(answers) != 3 or not all(math.isfinite(answer) and 0 <= answer <= 1 for answer in answers):
            raise PackageRefused(f"the model answers a probe with {answers}; expected three probabilities in [0, 1]")
        if slowest > SLOWEST_PREDICTION_SECONDS:
            raise PackageRefused(f"a prediction took {slowest:.3f} s; at most {SLOWEST_PREDICTION_SECONDS} s is served")

    def time_prediction(self, vector: Sequence[Value]) -> float:
        start = time.perf_counter()
        self.predict([vector])
        return time.perf_counter() - start


def session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    return options


def check_graph(session: ort.InferenceSession, manifest: Manifest) -> None:
    """Inputs and output as `contracts.model_package` names them, as wide as the manifest says."""
    width_by_input = {NUMERIC_INPUT: len(manifest.numeric), CATEGORICAL_INPUT: len(manifest.categorical)}
    for node in session.get_inputs():
        if node.type != ELEMENT_TYPE_BY_INPUT.get(node.name):
            raise PackageRefused(f"input {node.name!r} is {node.type}; expected {ELEMENT_TYPE_BY_INPUT}")
        width = node.shape[1] if len(node.shape) == 2 else None
        if isinstance(width, int) and width != width_by_input[node.name]:
            raise PackageRefused(f"input {node.name!r} is {width} wide; the manifest has {width_by_input[node.name]}")
    outputs = [node.name for node in session.get_outputs()]
    if PROBABILITY_OUTPUT not in outputs:
        raise PackageRefused(f"the model's outputs are {outputs}; expected {PROBABILITY_OUTPUT!r}")
