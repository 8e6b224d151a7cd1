"""What the end-to-end tests share: the loop, played once, two processes that load a model, and free ports."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.loopback_only import LoopbackOnly
from tests.e2e.processes import CANARIES, DEMO, LOADS_A_MODEL
from tests.hostile_names import EVERYTHING

PORTS = ("FLYWHEEL_SERVING_PORT", "FLYWHEEL_MLFLOW_PORT", "FLYWHEEL_AIRFLOW_PORT", "FLYWHEEL_MONITORING_PORT")


@pytest.fixture(scope="module")
def free_ports() -> dict[str, str]:
    """This process's environment with a free port for each server."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    chosen = {name: str(server.getsockname()[1]) for name, server in zip(PORTS, sockets, strict=True)}
    for server in sockets:
        server.close()
    return {**os.environ, **chosen}


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


@pytest.fixture(scope="session")
def place_of_demo(tmp_path_factory: pytest.TempPathFactory) -> LoopbackOnly:
    return LoopbackOnly(tmp_path_factory.mktemp("place") / "record")


@pytest.fixture(scope="session")
def demo(place_of_demo: LoopbackOnly, loads_of_a_model: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short demo that has ended; its folder. The output of one that failed is the test's error.

    `loads_of_a_model` starts before it and needs time, which passes meanwhile.
    """
    folder = tmp_path_factory.mktemp("demo") / EVERYTHING
    with place_of_demo.start(DEMO, CANARIES | {"FLYWHEEL_DATA_DIR": str(folder)}, proxy=True) as demo:
        output, errors = demo.communicate(timeout=1200)
    assert demo.returncode == 0, f"{output[-2000:]}\n{errors[-4000:]}"
    return folder
