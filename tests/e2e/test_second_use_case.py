"""A second use case is six files and a line: with nothing else it goes once round the whole loop, by the real commands.

Its one source, the weather of 2013 at three airports, belongs to the first one, which ingests it for both. The data are
real; so are Great Expectations, Feast, MLflow, torch, BentoML, Evidently and Airflow. The copy of the repository lies
in a temporary folder and has its own servers on its own ports.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from feature_repo.contracts.base import DataInterval
from infra.clock import ReplayClock, from_microseconds
from infra.database import reading
from infra.local import airflow_server
from infra.local.airflow import STAGES
from infra.local.world import Disturbances, World
from infra.settings import Settings
from tests.e2e.copied_root import CopiedRoot, added_files, copy_root, free_ports, list_use_case

ADDED = Path(__file__).parent / "second_use_case"
NAME, OWNER = "rain_ahead", "flight_delay"
HOUR, LAG = timedelta(hours=1), timedelta(minutes=5)
FIRST, TRAINED_AT = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 3, 6, tzinfo=UTC)
NUM_HOURS = 78  # three days whose labels are known at the end, and six hours of which they are not
ENDS_AT = TRAINED_AT + NUM_HOURS * HOUR
FLOWN_FROM = TRAINED_AT - timedelta(days=2)  # as much of the flights as the first use case is built from here
AIRPORTS = ("EWR", "JFK", "LGA")
PUBLISHED_WITHIN_SECONDS = 20.0
COMMANDS = "import json; from infra.local.processes import commands; print(json.dumps(commands()))"
DAGS = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags/use_cases")
tasks = {name: sorted(dag.task_ids) for name, dag in bag.dags.items()}
print(json.dumps({"errors": bag.import_errors, "tasks": tasks}))
"""


@dataclass(kw_only=True)
class Round:
    """What the commands of one round printed, by their name, and the answers of the service."""

    root: CopiedRoot
    outputs: dict[str, str] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def run(self, layer: str, command: str, *arguments: str) -> None:
        self.outputs[command] = self.root.run(layer, command, *arguments)

    def run_owner(self, command: str, *arguments: str) -> str:
        """A command of feature_repo for the use case whose source it is."""
        return self.root.python("-m", "feature_repo", command, OWNER, *arguments)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with reading(self.root.settings.database) as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """Set up, learn from nine weeks, release, answer for three days, judge the answers."""
    played = Round(root=make_root(tmp_path_factory.mktemp("copy")))
    clock = ReplayClock(played.root.folder / "clock")
    clock.advance(TRAINED_AT)
    played.root.python("-m", "infra.local.setup")
    with played.root.supervisor(json.loads(played.root.python("-c", COMMANDS))) as supervisor:
        supervisor.start("mlflow", f"serving.{NAME}")
        world = take_in_history(played)
        supervisor.wait()
        train_and_release(played)
        supervisor.start(f"stream.{NAME}")
        ask_every_hour(played, world, clock)
        judge(played)
        yield played


def make_root(folder: Path) -> CopiedRoot:
    copy_root(folder, ADDED)
    list_use_case(folder, NAME)
    first = free_ports(3)
    settings = Settings(
        data_dir=folder / "var", clock=f"file:{folder / 'clock'}", mlflow_port=first, serving_port=first + 1
    )
    return CopiedRoot(folder=folder, settings=settings, use_case=NAME)


def interval(start: datetime, end: datetime) -> tuple[str, ...]:
    return "--start", start.isoformat(), "--end", end.isoformat()


def take_in_history(played: Round) -> World:
    feed, data = played.root.folder / "feed", played.root.settings.root
    played.run_owner("feed", "--out", str(feed))
    world = World.of_feed(feed, Disturbances(held_back=0, twice=0), seed=1)
    world.deliver(data, FIRST, TRAINED_AT)
    played.run_owner("ingest", "weather", *interval(FIRST, TRAINED_AT))
    played.run_owner("ingest", "flights", *interval(FLOWN_FROM, TRAINED_AT))
    played.outputs["owner's build"] = played.run_owner("build", *interval(FLOWN_FROM, TRAINED_AT))
    played.run("feature_repo", "build", *interval(FIRST, TRAINED_AT))
    played.run("feature_repo", "materialize")
    return world


def train_and_release(played: Round) -> None:
    played.run("training", "admit", "--bootstrap")
    for command in ("dataset", "fit", "gate"):
        played.run("training", command)
    played.run("serving", "release")


def ask_every_hour(played: Round, world: World, clock: ReplayClock) -> None:
    """Ask on the hour, let the micro-batch publish what came before it, deliver what comes until the next."""
    settings = played.root.settings
    headers = {"Authorization": f"Bearer {settings.secret('serving_api_key')}"}
    with httpx.Client(base_url=played.root.serving_url, headers=headers, trust_env=False, timeout=10) as client:
        for number in range(NUM_HOURS):
            hour = TRAINED_AT + number * HOUR
            clock.advance(hour)
            for airport in AIRPORTS:
                answer = client.post("/predict", json={"airport": airport, "hour": hour.isoformat()})
                assert answer.status_code == httpx.codes.OK, answer.text
                played.answers.append(answer.json())
            clock.advance(hour + LAG)
            wait_for_instant(client, hour)
            world.deliver(settings.root, hour, hour + HOUR)
    clock.advance(ENDS_AT)


def wait_for_instant(client: httpx.Client, instant: datetime) -> None:
    deadline = time.monotonic() + PUBLISHED_WITHIN_SECONDS
    while from_microseconds(client.get("/info").json()["watermark"]) != instant:
        assert time.monotonic() < deadline, f"the micro-batch did not publish {instant.isoformat()}"
        time.sleep(0.005)


def judge(played: Round) -> None:
    """The second build is given no interval, as when the owner's ingest wakes it: it goes on to where that ends."""
    build = ("-m", "feature_repo", "build", NAME)
    played.outputs["too early"] = played.root.python(*build, *interval(TRAINED_AT, ENDS_AT), code=1)
    played.run_owner("ingest", "weather", *interval(TRAINED_AT, ENDS_AT))
    played.run("feature_repo", "build")
    with ThreadPoolExecutor() as threads:
        parity = threads.submit(played.run, "feature_repo", "parity", "--json")
        played.run("monitoring", "check", "--json")
        played.run("monitoring", "report")
        parity.result()


def test_it_is_six_files() -> None:
    assert added_files(ADDED) == [
        "dags/use_cases/rain_ahead.py",
        "feature_repo/contracts/rain_ahead.py",
        "feature_repo/use_cases/rain_ahead.py",
        "monitoring/use_cases/rain_ahead.py",
        "serving/use_cases/rain_ahead.py",
        "training/use_cases/rain_ahead.py",
    ]


def test_both_are_built_from_the_one_table_that_the_owner_ingested(played: Round) -> None:
    root = played.root.settings.root
    built = dict(line.rsplit(": ", 1) for line in played.outputs["owner's build"].splitlines())
    weather = built[f"origin_weather {DataInterval(start=FLOWN_FROM, end=TRAINED_AT)}"]

    assert int(weather.removesuffix(" rows")) > 0
    assert f"airport_rain {DataInterval(start=TRAINED_AT, end=ENDS_AT)}: " in played.outputs["build"]
    assert sorted(path.name for path in (root / "lake" / "sources").iterdir()) == ["flights", "weather"]
    assert sorted(path.name for path in (root / "references").iterdir()) == [OWNER]
    assert played.rows("SELECT DISTINCT use_case, source FROM quality ORDER BY source") == [
        (OWNER, "flights"),
        (OWNER, "weather"),
    ]


def test_nothing_is_built_before_the_owner_has_ingested(played: Round) -> None:
    assert f"{NAME} reads weather, which {OWNER} has not ingested for all of" in played.outputs["too early"]
    assert f"the newest that it has is {DataInterval(start=FIRST, end=TRAINED_AT)}" in played.outputs["too early"]


def test_its_first_model_passes_the_gate_and_is_released(played: Round) -> None:
    assert "version 1 passes" in played.outputs["gate"]
    assert f"{NAME} v1 is served" in played.outputs["release"]
    assert played.rows("SELECT use_case, model_version, state FROM trainings") == [(NAME, "1", "passed")]
    assert played.rows("SELECT use_case, state FROM incidents WHERE cause = 'bootstrap'") == [(NAME, "released")]


def test_its_service_answers_with_that_version_and_all_features(played: Round) -> None:
    assert len(played.answers) == NUM_HOURS * len(AIRPORTS)
    assert {answer["model_version"] for answer in played.answers} == {"1"}
    assert [answer for answer in played.answers if answer["degraded"]] == []
    assert len({answer["probability"] for answer in played.answers}) > NUM_HOURS


def test_its_answers_are_judged_against_what_came_of_them(played: Round) -> None:
    result = json.loads(played.outputs["check"])

    assert result["model_version"] == "1"
    assert result["performance"]["status"] == "steady"
    assert result["performance"]["scores"]["auc"] > 0.8
    assert result["rows_by_outcome"]["observed"] >= 200
    assert result["quality"] == {"weather": 1.0}
    assert (played.root.settings.root / "reports" / played.outputs["report"].strip()).exists()


def test_its_vectors_are_what_training_would_have_seen(played: Round) -> None:
    report = json.loads(played.outputs["parity"])

    assert (report["compared"], report["mismatched"], report["behind"], report["featureless"]) == (
        NUM_HOURS * len(AIRPORTS),
        0,
        0,
        0,
    )


def test_an_answer_of_it_is_explained(played: Round) -> None:
    prediction = played.answers[-1]["prediction_id"]

    explained = json.loads(played.root.python("-m", "serving", "explain", prediction, "--json"))

    assert explained["prediction"]["use_case"] == NAME
    assert explained["model"]["dataset_digest"] == played.outputs["dataset"].strip()
    assert list(explained["features"]) == ["airport_rain (by airport)"]


def test_airflow_reads_its_four_dags_beside_those_of_the_first_one(played: Round) -> None:
    printed = played.root.python("-c", DAGS, environment=airflow_server.environment(played.root.settings))
    found = json.loads(printed.splitlines()[-1])

    assert found["errors"] == {}
    assert len(found["tasks"]) == 2 * len(STAGES)
    assert found["tasks"].pop(f"{NAME}__features") == ["build"], "it has nothing to ingest"
    assert found["tasks"].pop(f"{OWNER}__features") == ["build", "ingest"]
    stages = [stage for stage in STAGES if stage != "features"]
    assert [found["tasks"][f"{NAME}__{stage}"] for stage in stages] == [
        found["tasks"][f"{OWNER}__{stage}"] for stage in stages
    ]
