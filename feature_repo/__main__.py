"""The layer's commands: `python -m feature_repo --help`.

Each command reads the settings, calls one plain function of the module that owns the idea and prints its result. An
error of the layer's own tree ends as one line on standard error and its exit code: 1 failed, 99 nothing to do. A
command imports its module itself: some need seconds of imports that no other one should wait for.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feature_repo.chaos import die_at
from feature_repo.contracts import folders, use_case_named
from feature_repo.contracts.base import DataInterval
from feature_repo.declarations import Declarations, declarations_of
from feature_repo.errors import FeatureRepoError, IntervalRefusedError, NothingDeliveredError
from infra import one_shot
from infra.clock import EPOCH
from infra.database import DatabaseError, require_database
from infra.logs import configure_logs
from infra.settings import Settings
from infra.whole_file import whole_file

if TYPE_CHECKING:
    from infra.lake import Lake

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE", help="name of a use case, for example flight_delay")]
Start = Annotated[str, typer.Option(help="first instant of the interval, ISO 8601; UTC if it names no offset")]
End = Annotated[str, typer.Option(help="end of the interval, itself excluded")]


def interval_of(start: str, end: str) -> DataInterval:
    if not (start and end):
        raise ValueError(f"an interval has two ends, got --start {start!r} and --end {end!r}; give both")
    return DataInterval(start=moment_of("--start", start), end=moment_of("--end", end))


def moment_of(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{option} is {text!r}, expected a time of ISO 8601 such as 2013-02-08T00:00:00Z") from error


def lake_of(settings: Settings) -> "Lake":
    from infra.lake import Lake

    return Lake(settings.root, settings.database)


@app.command()
def feed(
    use_case: UseCaseName,
    out: Annotated[Path, typer.Option(help="folder that gets one <source>.parquet each, sorted by delivered_at")],
) -> None:
    """Write what the use case's own sources delivered over their whole history, for a replay."""
    import pyarrow.parquet

    out.mkdir(parents=True, exist_ok=True)
    for source, deliveries in declarations_of(use_case).own_feed():
        pyarrow.parquet.write_table(deliveries, out / f"{source}.parquet", compression="zstd")
        typer.echo(f"{out / source}.parquet: {deliveries.num_rows} rows")


@app.command()
def reference(use_case: UseCaseName) -> None:
    """Write the use case's reference tables: references/<use case>/<name>.parquet in the data folder."""
    import pyarrow.parquet

    settings = Settings()
    require_database(settings.database)
    root = settings.root
    for name, table in declarations_of(use_case).own_references().items():
        path = folders.reference(root, use_case, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            pyarrow.parquet.write_table(table, unfinished, compression="zstd")
        typer.echo(f"{path}: {table.num_rows} rows")


@app.command()
def ingest(
    use_case: UseCaseName,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="one or more sources that it owns")],
    start: Start,
    end: End,
) -> None:
    """Validate what was delivered in an interval and put it into the lake: bronze, silver, quarantine.

    A source that is refused keeps none of the others out.
    """
    from feature_repo.ingest import ingest as ingest_interval
    from feature_repo.suite import verdicts

    settings, interval, declared = Settings(), interval_of(start, end), declarations_of(use_case)
    owned = [declared.own_source(name) for name in sources]
    refusals: list[FeatureRepoError] = []
    for source in owned:
        try:
            report = ingest_interval(
                use_case,
                source,
                interval,
                lake=lake_of(settings),
                engine=verdicts,
                chaos=die_at(settings.chaos),
            )
        except FeatureRepoError as refusal:
            refusals.append(refusal)
        else:
            typer.echo(f"{source.name} {interval}: {report.summary}")
    if refusals:
        raise in_one(refusals)


def in_one(refusals: Sequence[FeatureRepoError]) -> FeatureRepoError:
    """The refusals of several sources, of which those that delivered nothing share a sentence."""
    silent = [each for each in refusals if isinstance(each, NothingDeliveredError)]
    others = [each for each in refusals if not isinstance(each, NothingDeliveredError)]
    if silent:
        names = [source for each in silent for source in each.sources]
        others = [NothingDeliveredError(names, silent[0].interval), *others]
    return others[0] if len(others) == 1 else IntervalRefusedError("; ".join(map(str, others)))


@app.command()
def quality(use_case: UseCaseName) -> None:
    """Show the quality of every ingested interval, and why one was refused."""
    from feature_repo.quality import lines_of

    for line in lines_of(Settings().database, use_case_named(use_case)):
        typer.echo(line)


@app.command(name="lake")
def show_lake() -> None:
    """Show what lies in the lake by group and table: rows, bytes, the versions that are kept, and how it grows."""
    from rich.console import Console

    from feature_repo.inventory import table_of

    table = table_of(lake_of(Settings()))
    Console().print(table if table.row_count else "the lake is empty; ingest an interval first")


@app.command()
def build(use_case: UseCaseName, start: Start = "", end: End = "") -> None:
    """Build the gold tables of an interval from silver: feature views, population, labels.

    Without an interval: from where gold ends to where what was ingested of all its sources has its next hole. What was
    ingested anew before gold's end is built only by naming its interval. Exit 99: there is nothing to build.
    """
    from feature_repo.gold import build as build_gold
    from feature_repo.shared_sources import due_interval, require_ingested

    settings, declared = Settings(), declarations_of(use_case)
    tables = lake_of(settings)
    interval = interval_of(start, end) if start or end else due_interval(declared.contract, tables)
    require_ingested(declared.contract, interval, database=settings.database)
    for warning in lacks(declared, interval, tables):
        typer.echo(warning)
    written = build_gold(declared.transforms, declared.sources, interval, lake=tables, chaos=die_at(settings.chaos))
    for name, num_rows in written.items():
        typer.echo(f"{name} {interval}: {num_rows} rows")
    if not any(written.values()):
        typer.echo(f"{use_case}: gold has no row in {interval}, as no source has one that it could be made of")


def lacks(declared: Declarations, interval: DataInterval, lake: "Lake") -> Iterator[str]:
    """A sentence for each thing that the sources lack of an interval that is to be built, naming all that lack it."""
    from feature_repo.shared_sources import by_value, holes
    from infra.lake import SILVER, source_group

    found = holes(declared.contract, interval, database=lake.database)
    for hole, names in by_value({name: ", ".join(map(str, parts)) for name, parts in found.items()}).items():
        yield f"{', '.join(names)}: not ingested in {hole}; if there were deliveries, ingest it and build again"
    empty = []
    for source in declared.sources:
        with lake.open(source_group(source.name)) as held:
            if not held.days(SILVER):
                empty.append(source.name)
    if empty:
        name = declared.contract.name
        yield f"{', '.join(empty)}: no clean row in the lake; `python -m feature_repo quality {name}` says why"


@app.command()
def stream(use_case: UseCaseName) -> None:
    """Keep the online store up to date, instant by instant, until SIGTERM or Ctrl-C."""
    from feature_repo.stream import Stream
    from feature_repo.stream import run as run_stream

    settings, declared = Settings(), declarations_of(use_case)
    run_stream(
        Stream(
            declared.transforms,
            declared.sources,
            lake=lake_of(settings),
            online_store=settings.online_store,
            clock=settings.make_clock(),
            chaos=die_at(settings.chaos),
        )
    )


@app.command()
def apply() -> None:
    """Register every use case's entities, feature views and feature service with Feast."""
    from feature_repo import offline

    offline.apply(Settings())


@app.command()
def materialize(use_case: UseCaseName) -> None:
    """Bring the online store to the newest instant that is due, from the gold tables; reads go on."""
    from feature_repo.materialize import materialize as materialize_gold
    from feature_repo.online_store import OnlineStore

    settings, contract = Settings(), use_case_named(use_case)
    store = OnlineStore(settings.online_store, contract, die_at(settings.chaos))
    now = settings.make_clock().now()
    instant, num_rows = materialize_gold(contract, store, lake=lake_of(settings), now=now)
    typer.echo(f"online features of {use_case} are at {instant.isoformat()}; {num_rows} rows changed")


@app.command()
def parity(
    use_case: UseCaseName,
    sample: Annotated[int, typer.Option(min=1, help="number of logged answers to compare")] = 1000,
    seed: Annotated[int, typer.Option(help="chooses the sample; the same seed, the same answers")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as one line of JSON")] = False,
) -> None:
    """Compare logged vectors with what training would have seen, bit for bit; ends with 1 if any differs."""
    from feature_repo import offline
    from feature_repo import parity as checks
    from feature_repo.materialize import newest_instant
    from infra.lake import use_case_group

    settings, contract = Settings(), use_case_named(use_case)
    with lake_of(settings).open(use_case_group(use_case)) as gold:
        built = newest_instant(contract, gold)
        before = (built or EPOCH) + contract.step + contract.lag
        answers = checks.sample(contract, settings.prediction_log, before=before, number=sample, seed=seed)
        report = checks.compare(contract, offline.open_feature_store(settings, {use_case: gold}), answers)
    checks.keep(report, folders.parity_report(settings.root, use_case))
    typer.echo(json.dumps(asdict(report)) if as_json else checks.summary(report))
    if report.mismatched:
        raise typer.Exit(1)


def main() -> None:
    configure_logs("feature_repo")
    try:
        app()
    except FeatureRepoError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except (DatabaseError, ValueError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"{one_shot.sentence_of(error)}\n")
        sys.exit(1)


if __name__ == "__main__":
    one_shot.run(main)
