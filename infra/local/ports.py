"""Looks whether the ports of an installation are free before anything is started on them.

Asked first, because a server of another installation on the same port would answer our readiness checks.
"""

import errno
import socket

from feature_repo.contracts import USE_CASES, serving_port
from infra.local.errors import InstallationError
from infra.settings import Settings


def ports_by_setting(settings: Settings) -> dict[str, list[int]]:
    return {
        "FLYWHEEL_SERVING_PORT": [serving_port(settings.serving_port, name) for name in USE_CASES],
        "FLYWHEEL_MLFLOW_PORT": [settings.mlflow_port],
        "FLYWHEEL_AIRFLOW_PORT": [settings.airflow_port],
        "FLYWHEEL_MONITORING_PORT": [settings.monitoring_port],
    }


def require_distinct_ports(settings: Settings) -> dict[int, str]:
    """The setting of every port. Raises InstallationError, naming both, if two come to the same."""
    setting_by_port: dict[int, str] = {}
    for setting, ports in ports_by_setting(settings).items():
        for port in ports:
            if port in setting_by_port:
                raise InstallationError(f"{setting_by_port[port]} and {setting} both come to port {port}; change one")
            setting_by_port[port] = setting
    return setting_by_port


def require_free_ports(settings: Settings) -> None:
    """Raises InstallationError, naming every taken port, or one of two servers, and the setting to change."""
    taken = [
        f"port {port} of {settings.bind} is taken: end what listens there, or set {setting} to another"
        for port, setting in require_distinct_ports(settings).items()
        if not is_free(settings.bind, port)
    ]
    if taken:
        raise InstallationError("; ".join(taken))


def is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT takes no port
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise InstallationError(f"cannot bind {address}:{port}: {error.strerror}; see FLYWHEEL_BIND") from error
    return True
