"""The trained model as one ONNX graph that takes raw values: what serves needs neither torch nor our preprocessing.

The numeric core is exported from torch; strings become codes by ONNX-ML label encoders put in front of it. A graph that
does not answer as the network does, on real rows and at any batch size, is refused here rather than found out later.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from feature_repo.contracts.model_package import CATEGORICAL_INPUT, NUMERIC_INPUT, PROBABILITY_OUTPUT
from training.errors import ExportRejected
from training.loop import BLOCK, codes_of
from training.models.ensemble import TabularModel
from training.rows import Rows
from training.scoring import open_session, score

OPSET = 18
ML_OPSET = 3
CODES = "codes"
TOLERANCE = 1e-5
BATCH_TOLERANCE = 1e-6


def export(model: TabularModel, vocabularies: tuple[tuple[str, ...], ...], rows: Rows) -> bytes:
    """Serialised ONNX. Raises ExportRejected if it differs from torch on `rows` by more than `TOLERANCE`."""
    core = export_core(model, num_numeric=rows.numeric.shape[1], num_categories=len(vocabularies))
    serialised: bytes = put_encoders_in_front(core, vocabularies).SerializeToString(deterministic=True)
    with torch.no_grad():
        inputs = (torch.from_numpy(rows.numeric), codes_of(rows, vocabularies))
        blocks = zip(*(torch.split(tensor, BLOCK) for tensor in inputs), strict=True)
        expected = torch.cat([model(*block) for block in blocks]).numpy()
    check_equal(serialised, rows, expected)
    return serialised


def export_core(model: TabularModel, *, num_numeric: int, num_categories: int) -> onnx.ModelProto:
    example = (torch.zeros(2, num_numeric), torch.zeros(2, num_categories, dtype=torch.int64))
    names = [NUMERIC_INPUT, CODES]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "core.onnx"
        # The tracing exporter is deprecated but takes a second; the other one takes ten and traces no more than this.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=[PROBABILITY_OUTPUT],
            dynamic_axes={name: {0: "batch"} for name in (*names, PROBABILITY_OUTPUT)},
        )
        return onnx.load_model(path)


def put_encoders_in_front(core: onnx.ModelProto, vocabularies: tuple[tuple[str, ...], ...]) -> onnx.ModelProto:
    """Replace the input of codes by one of strings, `(batch, len(vocabularies))`; unknown and "" have code 0.

    A model without numbers, or without strings, has no such input.
    """
    graph, nodes = core.graph, []
    for index, vocabulary in enumerate(vocabularies):
        place, column, code = f"place_{index}", f"column_{index}", f"code_{index}"
        graph.initializer.append(helper.make_tensor(place, TensorProto.INT64, [1], [index]))
        nodes.append(helper.make_node("Gather", [CATEGORICAL_INPUT, place], [column], axis=1))
        encoder = helper.make_node(
            "LabelEncoder",
            [column],
            [code],
            domain="ai.onnx.ml",
            keys_strings=list(vocabulary) or [""],
            values_int64s=list(range(1, len(vocabulary) + 1)) or [0],
            default_int64=0,
        )
        nodes.append(encoder)
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name in used - {CODES}]
    if vocabularies:
        shape: list[str | int | None] = ["batch", len(vocabularies)]
        inputs.append(helper.make_tensor_value_info(CATEGORICAL_INPUT, TensorProto.STRING, shape))
        nodes.append(helper.make_node("Concat", [f"code_{i}" for i in range(len(vocabularies))], [CODES], axis=1))
    nodes.extend(graph.node)
    composed = helper.make_graph(
        nodes, "flywheel", inputs, list(graph.output), initializer=list(graph.initializer), value_info=[]
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(composed, opset_imports=opsets, ir_version=core.ir_version, producer_name="flywheel")
    onnx.checker.check_model(model)
    return model


def check_equal(serialised: bytes, rows: Rows, expected: NDArray[np.float32]) -> None:
    """Raises ExportRejected unless the graph gives `expected`, whole and row by row, or if there is no row."""
    if len(rows) == 0:
        raise ExportRejected("there is no row on which to compare the ONNX graph with torch")
    session = open_session(serialised)
    together = score(session, rows)
    difference = float(np.abs(together - expected).max())
    if not difference <= TOLERANCE:
        raise ExportRejected(f"the ONNX graph differs from torch by {difference:.1e} on {len(rows)} rows > {TOLERANCE}")
    single = score(session, rows[:64], batch_size=1)
    spread = float(np.abs(single - together[: len(single)]).max())
    if not spread <= BATCH_TOLERANCE:
        raise ExportRejected(f"a row alone and in a batch of {len(rows)} differ by {spread:.1e} > {BATCH_TOLERANCE}")
