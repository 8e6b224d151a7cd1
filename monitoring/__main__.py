"""The layer's commands: `python -m monitoring --help`.

Each command reads the settings, calls one plain function of the module that owns the idea and prints its result. An
error of the layer's own tree ends as one line on standard error: 1 failed, 99 nothing to do.
"""

import json
import sqlite3
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feature_repo.contracts import use_case_named
from infra import one_shot
from infra.database import DatabaseError
from infra.logs import configure_logs
from infra.settings import Settings
from monitoring.errors import MonitoringError, NothingServed

if TYPE_CHECKING:  # each command imports what it needs: `ask` runs in every round and needs next to nothing
    from monitoring.spec import MonitoringSpec

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
NOTHING_TO_DO = 99

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE", help="name of a use case, for example flight_delay")]


def declaration_of(use_case: str) -> "MonitoringSpec":
    """The use case's MONITORING. Raises ValueError, with the names there are, for an unknown one."""
    from monitoring.spec import MonitoringSpec

    declared = import_module(f"monitoring.use_cases.{use_case_named(use_case).name}").MONITORING
    assert isinstance(declared, MonitoringSpec)
    return declared


@app.command()
def check(
    use_case: UseCaseName,
    as_json: Annotated[bool, typer.Option("--json", help="print the whole result as JSON")] = False,
) -> None:
    """Judge the newest mature window of answers; open incidents, ask for a retraining, keep the result."""
    from monitoring.check import check as run_check
    from monitoring.window import mature_window

    settings, spec = Settings(), declaration_of(use_case)
    now = settings.make_clock().now()
    result = run_check(settings, spec, now=now)
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2, sort_keys=True, allow_nan=False))
    else:
        window = mature_window(spec.contract, spec.window, now)
        typer.echo(f"{use_case} {window}, {result.num_rows} answers: {result.decision}: {result.reason}")


@app.command()
def report(use_case: UseCaseName) -> None:
    """Draw Evidently's report of every judged window that has none yet; exit 99: there is none to draw."""
    from monitoring.drawing import draw_missing_reports

    one_shot.give_way()  # whatever else runs is waited for by somebody, a picture is not

    drawn = draw_missing_reports(Settings(), declaration_of(use_case))
    if not drawn:
        typer.echo(f"{use_case}: no window that could be judged waits for its report")
        raise typer.Exit(NOTHING_TO_DO)
    for name in drawn:
        typer.echo(name)


@app.command()
def ask(use_case: UseCaseName) -> None:
    """Exit with 0 if an alarm waits for a training, with 99 if none does."""
    from monitoring.incidents import num_unclaimed

    waiting = num_unclaimed(Settings().database, use_case_named(use_case).name)
    typer.echo(f"{use_case}: {waiting} alarm(s) wait for a training")
    if not waiting:
        raise typer.Exit(NOTHING_TO_DO)


@app.command()
def serve() -> None:
    """Serve the page, the reports and the metrics of every use case on the monitoring port."""
    from monitoring.server import run_server

    run_server(Settings())


@app.command()
def placebo(
    use_case: UseCaseName,
    table: Annotated[Path, typer.Option(help="Parquet: vector columns, label, probability, prediction_time")],
    seeds: Annotated[int, typer.Option(min=1, help="how many placebo years, each a new order of the days")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as JSON")] = False,
) -> None:
    """Count false alarms: days in random order, thresholds from one half of them, tried on the other."""
    from monitoring.placebo import placebo_years, read_table, table_of

    spec = declaration_of(use_case)
    years = placebo_years(spec, read_table(spec, table), seeds=range(seeds))
    if as_json:
        typer.echo(json.dumps([asdict(year) for year in years]))
    else:
        from rich.console import Console

        Console().print(table_of(spec, years))


def main() -> None:
    configure_logs("monitoring")
    try:
        app()
    except NothingServed as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOTHING_TO_DO)
    except sqlite3.Error as error:
        sys.stderr.write(f"a database of the data folder: {error}; end what holds it, or restore it\n")
        sys.exit(1)
    except (MonitoringError, DatabaseError, ValueError, OSError) as error:
        sys.stderr.write(f"{one_shot.sentence_of(error)}\n")
        sys.exit(1)


if __name__ == "__main__":
    one_shot.run(main)
