"""`make feast-ui`: Feast's own user interface on this installation's registry.

It has no log-in, so it is bound to the loopback address whatever FLYWHEEL_BIND says, and ends with Ctrl-C.
"""

import os
import sys
from pathlib import Path

import typer

from infra.settings import SettingError, Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]


def main(port: int = typer.Option(8888, help="port of the loopback address")) -> None:
    """Show the feature store until Ctrl-C."""
    try:
        settings = Settings()
    except SettingError as error:
        typer.echo(f"feast-ui: {error}", err=True)
        raise typer.Exit(1) from error
    if not settings.feature_registry.exists():
        typer.echo(f"feast-ui: no feature registry {settings.feature_registry}; run `make setup` first", err=True)
        raise typer.Exit(1)
    os.chdir(ROOT)
    store = ["-f", "feature_repo/feature_store.yaml"]
    arguments = [sys.executable, "-m", "feast.cli.cli", *store, "ui", "--host", "127.0.0.1", "--port", str(port)]
    os.execve(arguments[0], arguments, child_environment(settings))  # noqa: S606


if __name__ == "__main__":
    typer.run(main)
