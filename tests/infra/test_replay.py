import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.contracts import USE_CASES
from feature_repo.contracts.folders import landing
from infra.clock import ReplayClock, to_microseconds
from infra.local.client import Answer, PredictionClient
from infra.local.ledger import Ledger, Round
from infra.local.replay import Replay, ReplayStalled, Watermark
from infra.local.schedule import PlannedRequest, Schedule
from infra.local.world import Source, World

USE_CASE = USE_CASES["flight_delay"]
START = datetime(2013, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROUND = Round(number=0, start=START, end=START + 6 * HOUR)


class Platform:
    """The least platform there can be: publishes an instant once the clock has passed its lag, and answers."""

    def __init__(self, folder: Path) -> None:
        self.clock = ReplayClock(folder / "clock")
        self.stream_clock = ReplayClock(folder / "stream_clock")
        self.landing = landing(folder, "flights")
        self.store = folder / "online_store.db"
        self.files_when_reached: dict[datetime, list[str]] = {}
        self.asked_at: list[datetime] = []
        self.published_at: dict[datetime, datetime] = {}
        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())

    def publish_when_due(self) -> None:
        connection = sqlite3.connect(self.store, isolation_level=None)
        connection.execute("CREATE TABLE flywheel_watermark (use_case TEXT PRIMARY KEY, instant INTEGER)")
        published = START - HOUR
        while not self.stopped.wait(0.001):
            now, instant = self.stream_clock.now(), published + HOUR
            if instant <= now and instant not in self.files_when_reached:
                self.files_when_reached[instant] = sorted(path.stem for path in self.landing.glob("*"))
            if instant <= now - USE_CASE.lag:
                published = instant
                self.published_at[instant] = self.clock.now()
                row = (USE_CASE.name, to_microseconds(instant))
                connection.execute("INSERT OR REPLACE INTO flywheel_watermark VALUES (?, ?)", row)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if "Flywheel-Replayed" not in self.headers:
                    platform.asked_at.append(platform.clock.now())
                answer = {"prediction_id": "p", "probability": 0.5, "model_version": "1", "degraded": False}
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Keep the test's output quiet."""

        return Handler

    @contextmanager
    def running(self) -> Iterator["Platform"]:
        threads = [threading.Thread(target=self.publish_when_due)]
        threads.append(threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}))
        for thread in threads:
            thread.start()
        yield self
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        for thread in threads:
            thread.join()


class Counter:
    def __init__(self) -> None:
        self.hours: list[datetime] = []
        self.answers: list[Answer] = []

    def hour_played(self, instant: datetime) -> None:
        self.hours.append(instant)

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)


def flights() -> Source:
    """One event a quarter of an hour from an hour before the replay on."""
    moments = [START - HOUR + timedelta(minutes=15 * index) for index in range(60)]
    return Source("flights", pa.table({"delivered_at": pa.array(moments, pa.timestamp("us", tz="UTC"))}))


def schedule() -> Schedule:
    """A request every five minutes, also one at each publication."""
    moments = [START + timedelta(minutes=5 * index) for index in range(12 * 12)]
    return Schedule(
        [
            PlannedRequest(number=n, asked_at=to_microseconds(m), entity=("UA", n, "EWR", 0), body=b"{}")
            for n, m in enumerate(moments)
        ]
    )


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(tmp_path)
    platform.clock.advance(START)
    platform.stream_clock.advance(START)
    with platform.running():
        yield platform


@pytest.fixture
def replay(tmp_path: Path, platform: Platform) -> Iterator[Replay]:
    client = PredictionClient("127.0.0.1", platform.server.server_address[1], "key", run="run")
    with client, Ledger(tmp_path / "ledger.db") as ledger:
        yield Replay(
            use_case=USE_CASE,
            data_dir=tmp_path,
            world=World([flights()]),
            schedule=schedule(),
            clock=platform.clock,
            stream_clock=platform.stream_clock,
            watermark=Watermark(platform.store, USE_CASE.name),
            client=client,
            ledger=ledger,
            observer=Counter(),
            check=lambda: None,
            reached=START,
        )


def test_every_request_of_a_round_is_sent_at_its_simulated_time(replay: Replay, platform: Platform) -> None:
    replay.play(ROUND)
    expected = [START + timedelta(minutes=5 * index) for index in range(6 * 12)]
    assert platform.asked_at == expected
    rows = replay.ledger.connection.execute("SELECT requested_at, failure FROM requests ORDER BY sequence").fetchall()
    assert rows == [(to_microseconds(moment), None) for moment in expected]


def test_an_instant_is_published_when_everybodys_clock_is_at_its_lag(replay: Replay, platform: Platform) -> None:
    """The micro-batch's own clock is already at the next instant then."""
    replay.play(ROUND)
    instants = [START + hour * HOUR for hour in range(6)]
    assert platform.published_at == {instant: instant + USE_CASE.lag for instant in instants}


def test_an_hours_deliveries_have_landed_when_the_micro_batch_reaches_it(replay: Replay, platform: Platform) -> None:
    replay.play(ROUND)
    names = [f"20130401T{hour:02}0000Z" for hour in range(1, 7)]
    for hour in range(6):
        assert platform.files_when_reached[START + hour * HOUR][:hour] == names[:hour]
    assert platform.clock.now() == ROUND.end
    assert sorted(path.stem for path in platform.landing.glob("*")) == names


def test_rounds_follow_each_other_without_landing_an_hour_twice(replay: Replay, platform: Platform) -> None:
    replay.play(ROUND)
    replay.play(Round(number=1, start=ROUND.end, end=ROUND.end + 6 * HOUR))
    assert len(list(platform.landing.glob("*"))) == 12
    assert len(platform.asked_at) == 12 * 12


def test_the_client_goes_on_asking_while_simulated_time_stands_still(replay: Replay, platform: Platform) -> None:
    replay.play(ROUND)
    with replay.asking_meanwhile(ROUND, per_second=200):
        deadline = time.monotonic() + 10
        while replay.ledger.connection.execute("SELECT count(*) FROM requests WHERE replayed").fetchone()[0] < 20:
            assert time.monotonic() < deadline
    rows = replay.ledger.connection.execute("SELECT DISTINCT requested_at, round FROM requests WHERE replayed")
    assert rows.fetchall() == [(to_microseconds(ROUND.end), 0)]
    assert platform.clock.now() == ROUND.end
    assert len(platform.asked_at) == 6 * 12


def test_a_micro_batch_that_publishes_nothing_is_named_instead_of_waited_for(tmp_path: Path) -> None:
    watermark = Watermark(tmp_path / "online_store.db", USE_CASE.name)
    assert watermark.read() is None
    with pytest.raises(ReplayStalled, match=r"has not published 2013-04-01T00:00:00\+00:00"):
        watermark.wait_until(START, timeout_seconds=0.01, check=lambda: None)
