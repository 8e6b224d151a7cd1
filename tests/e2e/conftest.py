"""What the end-to-end tests share: ports that were free a moment ago, and two processes that load a model."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.loopback_only import LoopbackOnly

PORTS = ("FLYWHEEL_SERVING_PORT", "FLYWHEEL_MLFLOW_PORT", "FLYWHEEL_AIRFLOW_PORT", "FLYWHEEL_MONITORING_PORT")


@pytest.fixture(scope="module")
def free_ports() -> dict[str, str]:
    """This process's environment with a free port for each server."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    chosen = {name: str(server.getsockname()[1]) for name, server in zip(PORTS, sockets, strict=True)}
    for server in sockets:
        server.close()
    return {**os.environ, **chosen}


LOADS_A_MODEL = """
import sys
if sys.argv[1:] == ["configured"]:
    import infra
import onnxruntime
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("loaded", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def loads_of_a_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LoopbackOnly]]:
    """Two processes that have loaded a model and stay: first a `configured` one, then one with the libraries as is."""
    folder = tmp_path_factory.mktemp("loads")
    places = {name: LoopbackOnly(folder / name) for name in ("configured", "as is")}
    with ExitStack() as stack:
        for name, place in places.items():
            process = stack.enter_context(place.start([sys.executable, "-c", LOADS_A_MODEL, name]))
            assert process.stdin is not None
            assert process.stdout is not None
            stack.callback(process.stdin.close)
            assert process.stdout.readline() == "loaded\n"
        yield places
