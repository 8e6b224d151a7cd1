"""The layer's commands: `python -m serving --help`.

Each command reads the settings, calls one plain function of the module that owns the idea and prints its result. An
error of the layer's own tree ends as one line on standard error and its exit code: 1 failed, 99 nothing to do.
"""

import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from feature_repo.contracts import use_case_named
from infra import one_shot
from infra.database import DatabaseError
from infra.logs import configure_logs
from infra.settings import Settings
from serving.errors import RegistryUnavailable, ServingError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE", help="name of a use case, for example flight_delay")]


@app.callback()
def commands() -> None:
    """Serve, release, explain and replay predictions."""


@app.command()
def run(use_case: UseCaseName) -> None:
    """Become the use case's prediction service."""
    from serving.launch import become_service

    become_service(Settings(), use_case_named(use_case).name)


@app.command()
def release(use_case: UseCaseName) -> None:
    """Make the challenger the champion, if its gate passed, and wait until it is served; exit 99: nothing to do."""
    from serving.release import release

    released = release(use_case_named(use_case), Settings())
    seconds = (released.served_at_wall - released.alias_set_at_wall) / 1e6
    typer.echo(f"{released.use_case} v{released.model_version} is served, {seconds:.2f} s after its alias was set")


@app.command()
def explain(
    prediction_id: Annotated[str, typer.Argument(help="id from an answer of the service")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of a tree")] = False,
) -> None:
    """Walk from an answer back to its version, run, training set, features, data intervals and commit."""
    from serving.explain import explain

    explanation = explain(prediction_id, Settings())
    if as_json:
        typer.echo(explanation.to_json())
    else:
        from rich.console import Console

        Console().print(explanation.to_tree())


@app.command()
def score(
    use_case: UseCaseName,
    version: Annotated[str, typer.Option(help="number of the registered version")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: prediction_id, probability")],
    start: Annotated[str | None, typer.Option(help="first instant, ISO 8601 with offset")] = None,
    end: Annotated[str | None, typer.Option(help="instant behind the last, ISO 8601 with offset")] = None,
) -> None:
    """Write what a version would have answered on the logged vectors."""
    from serving.score import score

    first, last = moment_of("--start", start), moment_of("--end", end)
    num_rows = score(use_case_named(use_case), Settings(), version=version, out=out, start=first, end=last)
    window = f"from {start or 'the first'} until {end or 'the last'}"
    typer.echo(f"{out}: {num_rows} predictions of {use_case}, {window}, scored by version {version}")


def moment_of(option: str, text: str | None) -> datetime | None:
    from serving.schema import parse_timestamp

    try:
        return None if text is None else parse_timestamp(text)
    except ValueError as error:
        expected = "a time of ISO 8601 with an offset, such as 2013-02-08T00:00:00+00:00"
        raise ValueError(f"{option} is {text!r}, expected {expected}") from error


def main() -> None:
    configure_logs("serving")
    try:
        app()
    except RegistryUnavailable as error:
        print(f"serving: {error}; ask again once MLflow runs, `make up` starts it", file=sys.stderr)
        sys.exit(1)
    except sqlite3.Error as error:
        print(f"serving: a database of the data folder: {error}; end what holds it, or restore it", file=sys.stderr)
        sys.exit(1)
    except (ServingError, DatabaseError, OSError, ValueError) as error:
        print(f"serving: {one_shot.sentence_of(error)}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    one_shot.run(main)
