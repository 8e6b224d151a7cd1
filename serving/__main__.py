"""The layer's commands: `python -m serving --help`.

Each command reads the settings, calls one plain function of the module that owns the idea and prints its result. An
error of the layer's own tree ends as one line on standard error and its exit code: 1 failed, 99 nothing to do.
"""

import sys
from typing import Annotated

import typer

from feature_repo.contracts import use_case_named
from infra.logs import configure_logs
from infra.settings import Settings
from serving.errors import ServingError

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


def main() -> None:
    configure_logs("serving")
    try:
        app()
    except (ServingError, OSError, ValueError) as error:
        print(f"serving: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()
