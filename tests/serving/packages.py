"""Small real model packages: an ONNX graph whose answer is known, a manifest, a signature."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from onnx import TensorProto, helper, numpy_helper

from feature_repo.contracts.base import ColumnType, UseCase
from feature_repo.contracts.model_package import (
    CATEGORICAL_INPUT,
    MANIFEST_FILE,
    MODEL_FILE,
    NUMERIC_INPUT,
    PROBABILITY_OUTPUT,
    SIGNATURE_FILE,
    Manifest,
    PackagedFile,
)


@dataclass(frozen=True)
class Package:
    model: bytes
    manifest: bytes
    signature: bytes

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in ((MODEL_FILE, self.model), (MANIFEST_FILE, self.manifest), (SIGNATURE_FILE, self.signature)):
            (folder / name).write_bytes(raw)
        return folder


def constant_model(probability: float, *, num_numeric: int, num_categorical: int) -> bytes:
    """Answers `probability` for every row; reads both of its inputs' shapes, so that it is as wide as declared."""
    nodes = [
        helper.make_node("Shape", [NUMERIC_INPUT], ["batch"], start=0, end=1),
        helper.make_node("ConstantOfShape", ["batch"], [PROBABILITY_OUTPUT], value=tensor("value", [probability])),
    ]
    return graph_bytes(nodes, num_numeric, num_categorical)


def first_column_model(*, num_numeric: int, num_categorical: int) -> bytes:
    """Answers the sigmoid of the first numeric column, 0.5 where it is absent."""
    nodes = [
        helper.make_node("Gather", [NUMERIC_INPUT, "first"], ["column"], axis=1),
        helper.make_node("IsNaN", ["column"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "column"], ["known"]),
        helper.make_node("Sigmoid", ["known"], [PROBABILITY_OUTPUT]),
    ]
    first = numpy_helper.from_array(np.array(0, dtype=np.int64), "first")
    return graph_bytes(nodes, num_numeric, num_categorical, first, tensor("zero", 0.0))


def graph_bytes(
    nodes: list[onnx.NodeProto], num_numeric: int, num_categorical: int, *constants: onnx.TensorProto
) -> bytes:
    inputs = [
        helper.make_tensor_value_info(NUMERIC_INPUT, TensorProto.FLOAT, ["batch_size", num_numeric]),
        helper.make_tensor_value_info(CATEGORICAL_INPUT, TensorProto.STRING, ["batch_size", num_categorical]),
    ]
    output = helper.make_tensor_value_info(PROBABILITY_OUTPUT, TensorProto.FLOAT, ["batch_size"])
    graph = helper.make_graph(nodes, "model", inputs, [output], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def tensor(name: str, value: float | list[float]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=np.float32), name)


def manifest_of(use_case: UseCase, model: bytes, *, run_id: str) -> Manifest:
    vector = use_case.vector
    return Manifest(
        use_case=use_case.name,
        feature_service=use_case.feature_service,
        vector=tuple((column.name, column.type.value) for column in vector),
        numeric=tuple(column.name for column in vector if column.type is not ColumnType.STRING),
        categorical=tuple(column.name for column in vector if column.type is ColumnType.STRING),
        decision_threshold=use_case.decision_threshold,
        dataset_digest="d" * 64,
        data_intervals=(("2013-01-01T00:00:00+00:00", "2013-03-01T00:00:00+00:00"),),
        run_id=run_id,
        commit="c" * 40,
        files=(PackagedFile(name=MODEL_FILE, size=len(model), sha256=hashlib.sha256(model).hexdigest()),),
    )


def sign(manifest: Manifest, model: bytes, key: Ed25519PrivateKey) -> Package:
    raw = manifest.to_bytes()
    return Package(model=model, manifest=raw, signature=key.sign(raw))


def constant_package(
    use_case: UseCase, probability: float, key: Ed25519PrivateKey, *, run_id: str = "run", **changes: object
) -> Package:
    """A good package that answers `probability`; `changes` spoil its manifest before it is signed."""
    num_categorical = sum(column.type is ColumnType.STRING for column in use_case.vector)
    model = constant_model(
        probability, num_numeric=len(use_case.vector) - num_categorical, num_categorical=num_categorical
    )
    return sign(replace(manifest_of(use_case, model, run_id=run_id), **changes), model, key)  # type: ignore[arg-type]


def signing_key(secrets: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key((secrets / "model_signing_key").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return key
