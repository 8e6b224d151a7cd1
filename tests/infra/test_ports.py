import socket

import pytest

from infra.local.errors import InstallationError
from infra.local.ports import require_free_ports
from infra.settings import Settings


def settings(**ports: int) -> Settings:
    free = {"serving_port": 23101, "mlflow_port": 23102, "airflow_port": 23103, "monitoring_port": 23104}
    return Settings.model_validate(free | ports)


def test_one_port_for_two_servers_is_refused_with_both_settings() -> None:
    with pytest.raises(
        InstallationError, match="FLYWHEEL_SERVING_PORT and FLYWHEEL_MLFLOW_PORT both come to port 23101"
    ):
        require_free_ports(settings(mlflow_port=23101))


def test_free_ports_are_accepted() -> None:
    require_free_ports(settings())


@pytest.mark.parametrize("name", ["serving_port", "mlflow_port", "airflow_port", "monitoring_port"])
def test_a_taken_port_is_refused_with_the_setting_to_change(name: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(InstallationError, match=f"port {port} of 127.0.0.1 is taken.*FLYWHEEL_{name.upper()}"):
            require_free_ports(settings(**{name: port}))
