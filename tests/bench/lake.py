"""What the age of the lake costs: the same work in a lake of weeks and in one of ten years, and what an ingest is."""

import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import landing, nycflights, offline, rules_sql, suite
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.gold import between
from feature_repo.ingest import ingest
from feature_repo.sources import DELIVERED_AT
from feature_repo.use_cases.flight_delay import FLIGHTS
from feature_repo.validation import Engine
from infra.lake import POPULATION, use_case_group
from infra.settings import Settings
from tests.bench.history import BEGIN, DAY, YEAR, cut, make_gold, make_source, write_source
from tests.bench.measure import Results, in_turns
from tests.feature_repo import landed
from tests.training.winter import DELIVERED

FEW_DAYS, MANY_DAYS = 60, 3650
ROUNDS = 9
NUM_ASKED = 1000
MONTH = DataInterval(start=DELIVERED.end - 32 * DAY, end=DELIVERED.end - DAY)


def day_of(number: int) -> DataInterval:
    return DataInterval(start=BEGIN + number * DAY, end=BEGIN + (number + 1) * DAY)


def bench_commit(lakes: Sequence[Path], flights: pa.Table, first: int, results: Results) -> None:
    days = [day_of(first + number) for number in range(ROUNDS + 1)]
    rows = [between(flights, DELIVERED_AT, day) for day in days]

    def commit(root: Path) -> Callable[[int], None]:
        return lambda number: write_source(root, rows[number], days[number])

    few, many = in_turns("commits", [commit(root) for root in lakes], rounds=ROUNDS)
    results.add("commit of a day, three tables", "ms", many.wall_ms, (f"in {FEW_DAYS} days", few.wall_ms), 4)


def deliver(roots: Sequence[Path], flights: pa.Table, day: DataInterval) -> list[Path]:
    """The day's rows in four deliveries, in each landing folder."""
    return [
        landing.write_delivery(root, FLIGHTS.name, part.end, between(flights, DELIVERED_AT, part))
        for root in roots
        for part in cut(day.start, day.end, timedelta(hours=6))
    ]


def ingest_with(root: Path, engine: Engine, day: DataInterval) -> None:
    ingest(landed.OWNER, FLIGHTS, day, lake=landed.lake_of(root), engine=engine)


def bench_ingest(lakes: Sequence[Path], flights: pa.Table, first: int, results: Results) -> None:
    def ingest_into(root: Path) -> Callable[[int], None]:
        return lambda number: ingest_with(root, rules_sql.verdicts, day_of(first + number))

    few, many = in_turns(
        "ingests",
        [ingest_into(root) for root in lakes],
        rounds=ROUNDS,
        before=lambda number: deliver(lakes, flights, day_of(first + number)),
    )
    results.add("ingest of a day, SQL rules", "ms", many.wall_ms, (f"in {FEW_DAYS} days", few.wall_ms), 1.3)
    results.add("ingest of a day, SQL rules", "CPU ms", many.cpu_ms, (f"in {FEW_DAYS} days", few.cpu_ms), 1.3)


def bench_engines(root: Path, flights: pa.Table, first: int, results: Results) -> None:
    """Each engine in a lake of its own, so that both write a day that was not there."""
    with_suite, with_sql = root, root.with_name("with_sql")
    shutil.copytree(root, with_sql)
    delivered: list[Path] = []

    def prepare(number: int) -> None:
        deliver([with_suite], flights, day_of(first + number))
        delivered[:] = deliver([with_sql], flights, day_of(first + number))

    def copy(_number: int) -> None:
        rows = pa.concat_tables([pq.read_table(path) for path in delivered])
        pq.write_table(rows, root.with_name("copy.parquet"), compression="zstd")

    suited, ruled, bare = in_turns(
        "engines",
        [
            lambda number: ingest_with(with_suite, suite.verdicts, day_of(first + number)),
            lambda number: ingest_with(with_sql, rules_sql.verdicts, day_of(first + number)),
            copy,
        ],
        rounds=ROUNDS,
        before=prepare,
    )
    bare_copy = ("read and write", bare.wall_ms)
    results.add("ingest of a day, SQL rules", "ms", ruled.wall_ms, bare_copy)
    results.add("ingest of a day, Great Expectations", "ms", suited.wall_ms, bare_copy)
    results.add("ingest of a day, Great Expectations", "ms", suited.wall_ms, ("SQL rules", ruled.wall_ms))


def bench_history(folder: Path, winter: Settings, results: Results) -> None:
    """The same questions of one month, in a lake of that month and in one of ten years."""
    gold = landed.gold_of(winter.root)
    many_days = [*cut(MONTH.start - (MANY_DAYS - 31) * DAY, MONTH.start, YEAR), MONTH]
    population = between(gold.read(POPULATION), "prediction_time", MONTH)
    # Not of the first days: what they ask for lies before the month.
    asked = population.slice(population.num_rows // 2, NUM_ASKED)
    names = [offline.AS_OF if name == "prediction_time" else name for name in asked.column_names]
    rows = asked.rename_columns(names)
    answers: dict[Path, pa.Table] = {}
    lakes = []
    for name, blocks in (("month", [MONTH]), ("ten_years", many_days)):
        settings = Settings(data_dir=folder / name)
        landed.set_up(settings.root)
        make_gold(settings.root, gold, MONTH, blocks)
        offline.apply(settings)
        lakes.append(settings)

    def join(settings: Settings) -> Callable[[int], None]:
        def ask(_number: int) -> None:
            with landed.lake_of(settings.root).open(use_case_group(FLIGHT_DELAY.name)) as snapshot:
                store = offline.open_feature_store(settings, {FLIGHT_DELAY.name: snapshot})
                answers[settings.root] = offline.historical_features(store, FLIGHT_DELAY, rows)

        return ask

    few, many = in_turns("joins", [join(settings) for settings in lakes], rounds=ROUNDS)
    first, second = answers.values()
    assert first.equals(second)
    what = f"point-in-time join, {NUM_ASKED:,} rows of a month"
    results.add(what, "ms", many.wall_ms, ("in that month", few.wall_ms), 1.3)
    results.add(what, "CPU ms", many.cpu_ms, ("in that month", few.cpu_ms), 1.3)


def bench_lake(folder: Path, winter: Settings, results: Results) -> None:
    """`winter` has seven real weeks of gold."""
    flights = dict(nycflights.feed(("flights",)))[FLIGHTS.name].select([*FLIGHTS.columns])
    lakes = [make_source(folder / f"{days}_days", flights, days) for days in (FEW_DAYS, MANY_DAYS)]
    bench_commit(lakes, flights, 0, results)
    bench_ingest(lakes, flights, ROUNDS + 1, results)
    bench_engines(lakes[0], flights, 2 * (ROUNDS + 1), results)
    bench_history(folder, winter, results)
