"""`make demo`: the loop on the flights of 2013, from an empty folder to a report, then the user interfaces to look at.

Everything lies in `var/demo/<time>`, the report in `var/demo`. Whatever ends it, every process that it started ends
before it does.
"""

import sqlite3
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.database import DatabaseError
from infra.local.airflow import AirflowClient
from infra.local.errors import InstallationError
from infra.local.ports import require_free_ports
from infra.local.processes import Supervisor, commands, end_by_signals
from infra.local.readiness import readiness
from infra.local.report import Report
from infra.local.report_page import write_page
from infra.local.scenario import SHORT, STREAM, USE_CASE, Demo, Plan, make_world, places_of, stream_clock
from infra.local.screen import Screen, table_of
from infra.local.setup import make_root, sole_user
from infra.local.up import addresses
from infra.one_shot import sentence_of
from infra.settings import SettingError, Settings

LOG_WIDTH = 150  # of the table, where no terminal says how wide it is


def settings_of_demo(folder: Path) -> Settings:
    """A data folder of its own under `folder`, with its replay clock in it."""
    data_dir = folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Settings(data_dir=data_dir, clock=f"file:{data_dir / 'clock'}")


def run(plan: Plan, *, exits: bool, console: Console) -> None:
    """Play a demo and write its report; unless it `exits`, keep the servers up until they are interrupted."""
    make_root(Settings())
    folder = Settings().root / "demo"
    folder.mkdir(exist_ok=True, mode=0o700)
    settings = settings_of_demo(folder)
    with ExitStack() as stack:
        stack.enter_context(sole_user(Settings(data_dir=folder)))
        require_free_ports(settings)
        settings.root.mkdir(mode=0o700)
        lock = stack.enter_context(sole_user(settings))
        supervisor = play(plan, settings, folder, stack, console, lock=lock)
        if not exits:
            stay(supervisor, settings, console)


def play(plan: Plan, settings: Settings, folder: Path, stack: ExitStack, console: Console, *, lock: int) -> Supervisor:
    """Play every round, write the report; the servers then run until `stack` is closed."""
    num_hours = len(plan.rounds) * (plan.round_length // USE_CASE.step)
    with Screen(console, num_rounds=len(plan.rounds), num_hours=num_hours) as screen:
        with screen.stage("set up, and the year's deliveries"):
            world = make_world(settings, plan)
        airflow = AirflowClient(settings)
        checks = readiness(settings, airflow)
        variables = {STREAM: {"FLYWHEEL_CLOCK": f"file:{stream_clock(settings).path}"}}
        supervisor = stack.enter_context(
            Supervisor(settings=settings, commands=commands(), readiness=checks, variables=variables, lock=lock)
        )
        demo = Demo(plan=plan, settings=settings, world=world, screen=screen, supervisor=supervisor, airflow=airflow)
        demo.start_servers()
        demo.train_first_model()
        demo.play()
        report = demo.report()
    publish(report, settings, folder, console)
    return supervisor


def publish(report: Report, settings: Settings, folder: Path, console: Console) -> None:
    report.write(folder / "report.json")
    write_page(report, places_of(settings), folder / "report.html")
    console.print(table_of(report))
    console.print(f"{folder / 'report.json'}\n{folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def stay(supervisor: Supervisor, settings: Settings, console: Console) -> None:
    console.print(addresses(settings) + "Ctrl-C ends them.", highlight=False, markup=False, soft_wrap=True)
    with suppress(KeyboardInterrupt):
        while True:
            supervisor.check()
            time.sleep(1)


def plan_of(
    *, short: bool, rounds: int | None, until: datetime | None, requests_per_day: int | None, seed: int
) -> Plan:
    """The whole or the short plan with what was asked for otherwise. Raises InstallationError if no round is left."""
    plan = replace(SHORT if short else Plan(), seed=seed)
    plan = replace(
        plan, num_rounds=rounds or plan.num_rounds, requests_per_day=requests_per_day or plan.requests_per_day
    )
    if until is not None:
        plan = replace(plan, until=until if until.tzinfo else until.replace(tzinfo=UTC))
    if not plan.rounds:
        first_end = (plan.start + plan.round_length).isoformat()
        raise InstallationError(f"no round ends by {plan.until.isoformat()}; the first ends at {first_end}")
    return plan


def main(
    exits: Annotated[bool, typer.Option("--exit", help="end when the report is written")] = False,
    short: Annotated[bool, typer.Option("--short", help="two weeks of March with few requests")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, max=15, help="number of fortnights")] = None,
    until: Annotated[datetime | None, typer.Option(help="leave out rounds that end after this day, in UTC")] = None,
    requests_per_day: Annotated[int | None, typer.Option(min=1, help="flights asked about a day")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the sample of flights and of what arrives late or twice")] = 1,
) -> None:
    """Play the whole loop on the flights of 2013: train, serve, watch, retrain, release; show what it was worth."""
    end_by_signals()
    try:
        plan = plan_of(short=short, rounds=rounds, until=until, requests_per_day=requests_per_day, seed=seed)
        run(plan, exits=exits, console=Console(width=None if sys.stdout.isatty() else LOG_WIDTH))
    except (InstallationError, DatabaseError, SettingError, OSError, sqlite3.Error) as error:
        typer.echo(f"demo: {sentence_of(error)}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo("demo: interrupted; every process that it started has ended", err=True)
        raise typer.Exit(130) from error


if __name__ == "__main__":
    typer.run(main)
