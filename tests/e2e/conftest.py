"""What the end-to-end tests share: an environment whose servers take ports that were free a moment ago."""

import os
import socket

import pytest

PORTS = ("FLYWHEEL_SERVING_PORT", "FLYWHEEL_MLFLOW_PORT", "FLYWHEEL_AIRFLOW_PORT", "FLYWHEEL_MONITORING_PORT")


@pytest.fixture(scope="module")
def free_ports() -> dict[str, str]:
    """This process's environment with a free port for each server."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    chosen = {name: str(server.getsockname()[1]) for name, server in zip(PORTS, sockets, strict=True)}
    for server in sockets:
        server.close()
    return {**os.environ, **chosen}
