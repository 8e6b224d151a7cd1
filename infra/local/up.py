"""`make up`: every server of the installation, until Ctrl-C."""

import sqlite3
import time

import typer

from feature_repo.contracts import USE_CASES, serving_port
from infra.database import DatabaseError, require_database
from infra.local.airflow import AirflowClient
from infra.local.errors import InstallationError
from infra.local.ports import require_free_ports
from infra.local.processes import Supervisor, commands, end_by_signals
from infra.local.readiness import readiness
from infra.local.setup import sole_user
from infra.one_shot import sentence_of
from infra.settings import SettingError, Settings


def addresses(settings: Settings) -> str:
    secrets, monitoring = settings.root / "secrets", settings.url(settings.monitoring_port)
    services = "".join(
        f"Service     {settings.url(serving_port(settings.serving_port, name))}  {name}, key in "
        f"{secrets / 'serving_api_key'}\n"
        for name in USE_CASES
    )
    return (
        f"Airflow     {settings.airflow_url}  user admin, password in {secrets / 'airflow_password'}\n"
        f"MLflow      {settings.mlflow_url}  user flywheel, password in {secrets / 'mlflow_password'}\n"
        f"{services}"
        f"Monitoring  {monitoring}  user flywheel, password in {secrets / 'monitoring_token'}\n"
    )


def stay(settings: Settings) -> None:
    """Start everything, then wait for a signal. Raises InstallationError as soon as a process ends by itself.

    Raises DatabaseError, with what to do, for a folder that this version cannot use.
    """
    require_database(settings.database)
    require_free_ports(settings)
    checks = readiness(settings, AirflowClient(settings))
    with (
        sole_user(settings) as lock,
        Supervisor(settings=settings, commands=commands(), readiness=checks, lock=lock) as supervisor,
    ):
        supervisor.start(*supervisor.commands)
        supervisor.wait()
        typer.echo(addresses(settings) + "Ctrl-C ends them.")
        while True:
            supervisor.check()
            time.sleep(1)


def main() -> None:
    """Start every server and stay until Ctrl-C."""
    end_by_signals()
    try:
        stay(Settings())
    except (InstallationError, DatabaseError, SettingError, OSError, sqlite3.Error) as error:
        typer.echo(f"up: {sentence_of(error)}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("ended")


if __name__ == "__main__":
    typer.run(main)
