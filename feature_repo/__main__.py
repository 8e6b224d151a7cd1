"""The layer's commands: `python -m feature_repo --help`.

Each command reads the settings, calls one plain function of the module that owns the idea and prints its result. An
error of the layer's own tree ends as one line on standard error and its exit code: 1 failed, 99 nothing to do.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pyarrow.parquet
import typer
from rich.console import Console
from rich.progress import track

from feature_repo.contracts import lake, use_case_named
from feature_repo.errors import FeatureRepoError
from infra.logs import configure_logs
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
errors = Console(stderr=True)

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE", help="name of a use case, for example flight_delay")]


def declarations_of(use_case: str) -> ModuleType:
    """The use case's module of this layer. Raises ValueError, with the names there are, for an unknown one."""
    return import_module(f"feature_repo.use_cases.{use_case_named(use_case).name}")


@app.command()
def feed(
    use_case: UseCaseName,
    out: Annotated[Path, typer.Option(help="folder that gets one <source>.parquet each, sorted by delivered_at")],
) -> None:
    """Write what the use case's sources delivered over their whole history, for a replay."""
    out.mkdir(parents=True, exist_ok=True)
    for source, deliveries in track(declarations_of(use_case).FEED(), "Sources", console=errors):
        pyarrow.parquet.write_table(deliveries, out / f"{source}.parquet", compression="zstd")
        typer.echo(f"{out / source}.parquet: {deliveries.num_rows} rows")


@app.command()
def reference(use_case: UseCaseName) -> None:
    """Write the use case's reference tables into the lake."""
    root = Settings().root
    for name, table in declarations_of(use_case).REFERENCES().items():
        path = lake.reference(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
        typer.echo(f"{path}: {table.num_rows} rows")


def main() -> None:
    configure_logs("feature_repo")
    try:
        app()
    except FeatureRepoError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
