"""The steps of a demo, from an installation that was just made to the figures of its report.

Winter and spring are history: they are brought in at once and the first model is trained on them. From then on the
world goes by hour by hour, and once in a fortnight the workflows run; whatever else happens, happens because the
platform decided so.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feature_repo.contracts import serving_port, use_case_named
from feature_repo.contracts.base import DataInterval
from infra.clock import ReplayClock
from infra.local import evidence
from infra.local.airflow import AirflowClient
from infra.local.client import PredictionClient
from infra.local.errors import AirflowError, InstallationError
from infra.local.evidence import Places
from infra.local.ledger import Ledger, Round
from infra.local.processes import Supervisor
from infra.local.replay import DAY, Replay, Watermark
from infra.local.report import Parity, Report, make_report
from infra.local.schedule import plan_requests
from infra.local.screen import Screen
from infra.local.setup import run_python, set_up
from infra.local.world import Disturbances, World
from infra.settings import Settings

NAME = "flight_delay"
USE_CASE = use_case_named(NAME)
STREAM = f"stream.{NAME}"
MEANWHILE_PER_SECOND = 10.0
WORKFLOWS_TIMEOUT_SECONDS = 900.0
PARITY_SAMPLE = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is played: history up to `start`, then rounds of `round_length`; `until` leaves out later rounds."""

    start: datetime = datetime(2013, 5, 13, tzinfo=UTC)
    round_length: timedelta = timedelta(days=14)
    num_rounds: int = 6
    until: datetime = datetime(2014, 1, 1, tzinfo=UTC)
    requests_per_day: int = 720
    seed: int = 1

    @property
    def rounds(self) -> tuple[Round, ...]:
        starts = [self.start + number * self.round_length for number in range(self.num_rounds)]
        rounds = [Round(number=n, start=start, end=start + self.round_length) for n, start in enumerate(starts)]
        return tuple(round_ for round_ in rounds if round_.end <= self.until)


SHORT = Plan(start=datetime(2013, 3, 1, tzinfo=UTC), round_length=timedelta(days=7), num_rounds=2, requests_per_day=110)


def places_of(settings: Settings) -> Places:
    return Places(settings=settings, use_case=NAME, feed=settings.root / "feed")


def replay_clock(settings: Settings) -> ReplayClock:
    return ReplayClock(Path(settings.clock.removeprefix("file:")))


def stream_clock(settings: Settings) -> ReplayClock:
    """The micro-batch's own, see `infra.local.replay`."""
    return ReplayClock(settings.root / "clock_of_the_stream")


def make_world(settings: Settings, plan: Plan) -> World:
    """Make the installation and, beside it, the world that it will live in; the clock then stands at the start."""
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    feed = places_of(settings).feed
    with ThreadPoolExecutor(1) as thread:
        written = thread.submit(run_python, settings, "feature_repo", "feed", NAME, "--out", str(feed))
        for clock in (replay_clock(settings), stream_clock(settings)):
            clock.advance(plan.start)
        set_up(settings)
        written.result()
    return World.of_feed(feed, Disturbances(), plan.seed)


@dataclass(kw_only=True)
class Demo:
    """One demo in a data folder that is set up; its steps are called in the order in which they stand."""

    plan: Plan
    settings: Settings
    world: World
    screen: Screen
    supervisor: Supervisor
    airflow: AirflowClient

    @property
    def places(self) -> Places:
        return places_of(self.settings)

    def start_servers(self) -> None:
        """Start every server but the micro-batch; while they start, bring in what was delivered before the replay."""
        with self.screen.stage("processes, and the history"):
            self.supervisor.start(*(name for name in self.supervisor.commands if name != STREAM))
            self.bring_history()
            self.supervisor.wait()
            self.airflow.unpause(NAME)

    def bring_history(self) -> None:
        begin = self.world.begins_at
        self.world.deliver_by_day(self.settings.root, begin, self.plan.start)
        interval = ("--start", begin.isoformat(), "--end", self.plan.start.isoformat())
        run_python(self.settings, "feature_repo", "ingest", NAME, *USE_CASE.sources, *interval)
        run_python(self.settings, "feature_repo", "build", NAME, *interval)
        run_python(self.settings, "feature_repo", "materialize", NAME)

    def train_first_model(self) -> None:
        """Admit without an alarm, as there is no model to be alarmed about; the workflows do the rest."""
        with self.screen.stage("the first model, trained and released"):
            run_python(self.settings, "training", "admit", NAME, "--bootstrap")
            self.run_workflows("training", None)
            if not evidence.read_releases(self.places):
                raise InstallationError(f"no first model was released: {evidence.read_trainings(self.places)[-1]}")
            self.supervisor.start(STREAM)

    def run_workflows(self, stage: str, interval: DataInterval | None) -> None:
        """Start one DAG and wait for it and all that it rings. Raises AirflowError if a run failed."""
        since = datetime.now(UTC)
        self.airflow.trigger(f"{NAME}__{stage}", interval)
        for run in self.airflow.wait_until_quiet(NAME, since=since, timeout_seconds=WORKFLOWS_TIMEOUT_SECONDS):
            if run.state == "failed":
                tasks = ", ".join(self.airflow.failed_tasks(run))
                raise AirflowError(f"{run.dag_id} failed at {tasks}; its log is in {self.settings.root}/airflow/logs")

    def play(self) -> None:
        replay = self.make_replay()
        with replay.client, replay.ledger:
            for round_ in self.plan.rounds:
                with self.screen.stage(f"{round_.start:%d %B} to {round_.end:%d %B}"):
                    replay.play(round_)
                with self.screen.stage("workflows"):
                    self.play_workflows(replay, round_)
                self.screen.round_played(self.last_decision())

    def make_replay(self) -> Replay:
        plan, settings = self.plan, self.settings
        flights, end = self.world.sources["flights"].rows, plan.rounds[-1].end + DAY
        per_day, host, port = plan.requests_per_day, settings.bind, serving_port(settings.serving_port, NAME)
        return Replay(
            use_case=USE_CASE,
            data_dir=settings.root,
            world=self.world,
            schedule=plan_requests(USE_CASE, flights, start=plan.start, end=end, per_day=per_day, seed=plan.seed),
            clock=replay_clock(settings),
            stream_clock=stream_clock(settings),
            watermark=Watermark(settings.online_store, NAME),
            client=PredictionClient(host, port, settings.secret("serving_api_key"), run=settings.root.name),
            ledger=Ledger(self.places.ledger),
            observer=self.screen,
            check=self.supervisor.check,
            reached=plan.start,
        )

    def play_workflows(self, replay: Replay, round_: Round) -> None:
        """The fortnight's workflows, while simulated time stands still and the client goes on asking."""
        began_wall = time.time()
        with replay.asking_meanwhile(round_, per_second=MEANWHILE_PER_SECOND):
            self.run_workflows("features", DataInterval(start=round_.start, end=round_.end))
        replay.ledger.workflows_ran(round_, began_wall=began_wall, ended_wall=time.time())

    def last_decision(self) -> str:
        judgements = evidence.read_judgements(self.places)
        return judgements[-1].decision if judgements else "no decision yet"

    def report(self) -> Report:
        first = evidence.read_releases(self.places)[0].version
        score = ("serving", "score", NAME, "--version", first, "--out", str(self.places.frozen))
        stage = self.screen.stage("parity, the frozen first model, the report")
        with stage, ThreadPoolExecutor(1) as thread:
            scored = thread.submit(run_python, self.settings, *score)
            parity = self.measure_parity()
            scored.result()
            self.airflow.wait_until_drawn(NAME, timeout_seconds=WORKFLOWS_TIMEOUT_SECONDS)
            return make_report(self.places, parity, duration_seconds=time.monotonic() - self.screen.begun)

    def measure_parity(self) -> Parity:
        """Of nothing, where no request was answered: the report says so."""
        if not evidence.has_answers(self.places):
            return Parity(compared=0, mismatched=0)
        sample = ("--sample", str(PARITY_SAMPLE), "--seed", str(self.plan.seed), "--json")
        found = json.loads(run_python(self.settings, "feature_repo", "parity", NAME, *sample))
        return Parity(compared=found["compared"], mismatched=found["mismatched"])
