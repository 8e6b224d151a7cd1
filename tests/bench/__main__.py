"""`make bench`: the hot paths on seven weeks of real flights, and the lake, each beside what it is to be compared with.

Timings of one machine at one moment: believe the ratio to the control, which was measured in the same run.
"""

import json
import logging
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import structlog
from rich.console import Console
from rich.progress import track

from feature_repo import nycflights, offline
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.gold import build
from feature_repo.landing import write_delivery
from feature_repo.stream import Stream
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.settings import Settings
from serving.online_features import OnlineFeatures
from tests.bench.lake import bench_lake
from tests.bench.measure import Results, cpu_seconds, median_seconds
from tests.feature_repo import landed
from tests.feature_repo.flown import HandClock
from tests.serving.installation import REQUEST, make_settings, running_service
from tests.serving.packages import signing_key
from tests.serving.test_durability import keep_version
from tests.training.winter import DELIVERED, make_lake

NUM_INSTANTS = 24
NUM_JOINED = 5000
NUM_READS = 500
NUM_REQUESTS = 1000
STEP = FLIGHT_DELAY.step


def bench_build(root: Path, results: Results) -> None:
    week = DataInterval(start=DELIVERED.end - timedelta(days=8), end=DELIVERED.end - timedelta(days=1))
    seconds = cpu_seconds(lambda: build(TRANSFORMS, SOURCES, week, lake=landed.lake_of(root)))
    results.add("gold tables, offline", "CPU ms per instant", seconds * 1000 / (7 * timedelta(days=1) / STEP))


def bench_micro_batch(root: Path, results: Results) -> datetime:
    """Returns the newest published instant."""
    feed = dict(nycflights.feed())
    clock = HandClock(DELIVERED.end + FLIGHT_DELAY.lag)
    stream = Stream(TRANSFORMS, SOURCES, lake=landed.lake_of(root), online_store=root / "online_store.db", clock=clock)
    stream.advance()
    seconds = 0.0
    for _ in track(range(NUM_INSTANTS), "micro-batch"):
        before = clock.instant - FLIGHT_DELAY.lag
        for name, rows in feed.items():
            write_delivery(root, name, before + STEP, landed.between(rows, before, before + STEP))
        clock.instant += STEP
        seconds += cpu_seconds(stream.advance)
    stream.store.close()
    results.add("micro-batch: deliveries to online store", "CPU ms per instant", seconds * 1000 / NUM_INSTANTS)
    return clock.instant - FLIGHT_DELAY.lag


def bench_online_reads(settings: Settings, instant: datetime, results: Results) -> None:
    reader = OnlineFeatures(FLIGHT_DELAY, settings.online_store, HandClock(instant + FLIGHT_DELAY.lag))
    feast = landed.feast_of(settings.root)
    service = feast.get_feature_service(FLIGHT_DELAY.feature_service)
    keys = [{name: REQUEST[name] for name in ("carrier", "destination", "origin", "tail_number")}]
    ours = median_seconds(lambda: reader.read([REQUEST]), times=NUM_READS)
    theirs = median_seconds(
        lambda: feast.get_online_features(features=service, entity_rows=keys), times=NUM_READS // 10
    )
    results.add("online features of one request", "ms, median", ours * 1000, ("Feast's SDK", theirs * 1000))


def bench_join(settings: Settings, results: Results) -> None:
    population = landed.gold(settings.root, "population").slice(20_000, NUM_JOINED)
    names = [offline.AS_OF if name == "prediction_time" else name for name in population.column_names]
    rows = population.rename_columns(names)
    feast = landed.feast_of(settings.root)
    service = feast.get_feature_service(FLIGHT_DELAY.feature_service)
    keys = ["carrier", "destination", "origin", "tail_number", offline.AS_OF]
    entities = rows.select(keys).append_column("row", pa.array(range(rows.num_rows))).to_pandas()
    theirs = cpu_seconds(lambda: feast.get_historical_features(entity_df=entities, features=service).to_arrow())
    ours = cpu_seconds(lambda: offline.historical_features(feast, FLIGHT_DELAY, rows))
    per_row = 1e6 / NUM_JOINED
    results.add("point-in-time join", "CPU us per row", ours * per_row, ("asked row by row", theirs * per_row))


def bench_predictions(folder: Path, results: Results) -> None:
    settings = make_settings(folder / "var")
    keep_version(settings, signing_key(settings.root / "secrets"))
    body = json.dumps(REQUEST).encode()
    with running_service(settings) as service, service.client() as client:

        def predict() -> None:
            client.post("/predict", content=body, headers={"Content-Type": "application/json"}).raise_for_status()

        median_seconds(predict, times=100)
        ours = median_seconds(predict, times=NUM_REQUESTS)
        control = median_seconds(lambda: client.get("/livez").raise_for_status(), times=NUM_REQUESTS)
    results.add(
        "POST /predict, logged before it is answered", "ms, median", ours * 1000, ("GET /livez", control * 1000)
    )


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    hot_paths, lake = Results("Hot paths, seven weeks of flights"), Results("The lake")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder) / "winter")
        settings.root.mkdir()
        make_lake(settings.root)
        offline.apply(settings)
        bench_build(settings.root, hot_paths)
        instant = bench_micro_batch(settings.root, hot_paths)
        bench_online_reads(settings, instant, hot_paths)
        bench_join(settings, hot_paths)
        bench_predictions(Path(folder) / "service", hot_paths)
        bench_lake(Path(folder), settings, lake)
    for results in (hot_paths, lake):
        Console(width=120).print(results.table)


if __name__ == "__main__":
    main()
