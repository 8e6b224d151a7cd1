"""The whole of 2013 as a training set, made by the commands that make one: for tests that compare models on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.clock import ReplayClock
from infra.local.scenario import Plan, make_world
from infra.local.setup import run_python
from infra.local.world import spans
from infra.settings import Settings

NAME = "flight_delay"
NOW = datetime(2014, 1, 3, tzinfo=UTC)
INGESTED_AT_ONCE = timedelta(days=92)


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Every labelled flight with its vector as it would have been served, in the order of prediction time."""
    root = tmp_path_factory.mktemp("year")
    settings = Settings(data_dir=root / "var", clock=f"file:{root / 'clock'}")
    world = make_world(settings, Plan(start=NOW))
    world.deliver_by_day(settings.root, world.begins_at, NOW)
    for start, end in spans(world.begins_at, NOW, INGESTED_AT_ONCE):
        interval = ("--start", start.isoformat(), "--end", end.isoformat())
        run_python(settings, "feature_repo", "ingest", NAME, "flights", "weather", *interval)
        run_python(settings, "feature_repo", "build", NAME, *interval)
    ReplayClock(root / "clock").advance(NOW)
    run_python(settings, "training", "admit", NAME, "--bootstrap")
    run_python(settings, "training", "dataset", NAME)
    (path,) = Path(settings.root / "trainings").glob("*/dataset.parquet")
    return pq.read_table(path).drop_columns("split")
