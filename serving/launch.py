"""Becomes the BentoML server of a use case.

`exec`, so that a supervisor's signals reach BentoML itself and no process of ours stands in between.
"""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from feature_repo.contracts import serving_port
from infra.database import UnreachableError, require_database
from infra.settings import Settings, child_environment
from serving.errors import ServingError
from serving.keys import read_verification_key

KEEP_ALIVE_SECONDS = 75
GRACEFUL_SHUTDOWN_SECONDS = 15


def service_address(use_case: str) -> str:
    """The service class of `flight_delay` is `FlightDelay`, so that nothing need be imported to find it."""
    return f"serving.use_cases.{use_case}:{use_case.title().replace('_', '')}"


def command(settings: Settings, use_case: str) -> list[str]:
    return [
        *(sys.executable, "-m", "bentoml", "serve", service_address(use_case)),
        *("--host", settings.bind, "--port", str(serving_port(settings.serving_port, use_case))),
        *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)),
        *("--timeout-graceful-shutdown", str(GRACEFUL_SHUTDOWN_SECONDS)),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """BentoML's home inside the data folder: it keeps metrics of every service of a home in one place."""
    return child_environment(settings, {"BENTOML_HOME": str(settings.root / "bentoml")})


def check(settings: Settings, use_case: str) -> None:
    """Raises ServingError, DatabaseError, FileNotFoundError or ValueError for what would otherwise fail in a worker.

    A database that does not answer keeps no service from starting: it only keeps refusals, which are tried again.
    """
    with suppress(UnreachableError):
        require_database(settings.database)
    for name in ("serving_api_key", "mlflow_reader_password"):
        settings.secret(name)
    read_verification_key(settings.root / "secrets" / "model_verification_key")
    address = (settings.bind, serving_port(settings.serving_port, use_case))
    with socket.socket(socket.AF_INET6 if ":" in settings.bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            problem = f"cannot bind {address[0]}:{address[1]}: {error.strerror}"
            raise ServingError(f"{problem}; end what listens there, or set FLYWHEEL_SERVING_PORT") from error


def become_service(settings: Settings, use_case: str) -> None:
    check(settings, use_case)
    (settings.root / "bentoml").mkdir(parents=True, exist_ok=True)
    os.chdir(Path(__file__).parent.parent)
    arguments = command(settings, use_case)
    os.execve(arguments[0], arguments, environment(settings))  # noqa: S606
