"""Plays the year hour by hour: deliveries land, the clock moves, the micro-batch publishes, the client asks.

Everything waits for conditions, never for a duration: the hour goes on once the online store says that it is published.
The micro-batch lives by a clock of its own that runs ahead by up to a step: it needs nothing from the requests, so it
computes an instant from deliveries that are complete while the requests before that instant are still being asked, and
publishes when everybody's clock is there (a conservative parallel simulation, with a step of the grid for lookahead).
While workflows run, simulated time stands still and the client goes on asking, flagged as replayed, so that a failure
during a release would be seen.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from typing import Protocol

from feature_repo.contracts.base import UseCase
from infra.clock import ReplayClock, from_microseconds
from infra.local.client import Answer, PredictionClient
from infra.local.errors import InstallationError
from infra.local.ledger import Ledger, Round
from infra.local.schedule import PlannedRequest, Schedule, by_moment
from infra.local.world import World, spans
from infra.quoting import read_only_uri

POLL_SECONDS = 0.001
READS_PER_CHECK = 100
DAY = timedelta(days=1)


class ReplayStalled(InstallationError):
    """The platform did not do in time what the replay waits for."""


class Watermark:
    """The newest instant that the online store serves, as its own transaction left it."""

    def __init__(self, online_store: Path, use_case: str) -> None:
        self.online_store, self.use_case = online_store, use_case
        self.connection: sqlite3.Connection | None = None

    def read(self) -> datetime | None:
        """None while there is no store, no table or no row."""
        if self.connection is None:
            if not self.online_store.exists():
                return None
            uri = read_only_uri(self.online_store)
            self.connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False)
        try:
            query = "SELECT instant FROM flywheel_watermark WHERE use_case = ?"
            row = self.connection.execute(query, [self.use_case]).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        return None if row is None else from_microseconds(row[0])

    def wait_until(self, instant: datetime, *, timeout_seconds: float, check: Callable[[], None]) -> None:
        """Raises ReplayStalled if `instant` is not published in time, or what `check` raises meanwhile."""
        deadline = time.monotonic() + timeout_seconds
        for number in count():
            if (published := self.read()) is not None and published >= instant:
                return
            if time.monotonic() > deadline:
                raise ReplayStalled(
                    f"the micro-batch has not published {instant.isoformat()} within {timeout_seconds:.0f} s "
                    f"(the newest is {published}); its log says why"
                )
            if number % READS_PER_CHECK == 0:
                check()
            time.sleep(POLL_SECONDS)


class Observer(Protocol):
    """Whoever shows how the replay goes on."""

    def hour_played(self, instant: datetime) -> None: ...

    def answered(self, answer: Answer) -> None: ...


@dataclass(kw_only=True)
class Replay:
    """One demo's simulated time. `reached` is the instant whose deliveries have landed.

    Everybody lives by `clock` but the micro-batch, which lives by `stream_clock`. `check` raises if a process that the
    replay waits for has ended.
    """

    use_case: UseCase
    data_dir: Path
    world: World
    schedule: Schedule
    clock: ReplayClock
    stream_clock: ReplayClock
    watermark: Watermark
    client: PredictionClient
    ledger: Ledger
    observer: Observer
    check: Callable[[], None]
    reached: datetime
    patience_seconds: float = 120.0
    repetitions: Iterator[int] = field(default_factory=count)

    def play(self, round_: Round) -> None:
        """Play `[start, end)` of a round; ends with the deliveries of `end` landed and the clock at `end`.

        Once the requests before an instant is published are asked, the micro-batch's clock goes to the next instant:
        it publishes the one and computes the other without waiting for the requests between them.
        """
        self.ledger.begin_round(round_)
        for instant, following in spans(round_.start, round_.end, self.use_case.step):
            self.land(instant)
            self.clock.advance(instant)
            self.stream_clock.advance(instant)
            published_from = min(instant + self.use_case.lag, following)
            self.ask(round_, self.schedule.between(instant, published_from))
            self.land(following)
            self.clock.advance(published_from)
            self.stream_clock.advance(following)
            self.watermark.wait_until(instant, timeout_seconds=self.patience_seconds, check=self.check)
            self.ask(round_, self.schedule.between(published_from, following))
            self.observer.hour_played(instant)
        self.clock.advance(round_.end)

    def land(self, until: datetime) -> None:
        """Put down what was delivered before `until`; the micro-batch may not get there sooner."""
        if until > self.reached:
            self.world.deliver(self.data_dir, self.reached, until)
            self.reached = until

    def ask(self, round_: Round, requests: Sequence[PlannedRequest]) -> None:
        """Send each request at its simulated time, those of one instant together."""
        asked: list[tuple[PlannedRequest, datetime, Answer]] = []
        for moment, group in by_moment(requests):
            self.clock.advance(moment)
            answers = self.client.send_all(group)
            asked.extend((request, moment, answer) for request, answer in zip(group, answers, strict=True))
        self.ledger.record(round_, asked)
        for _, _, answer in asked:
            self.observer.answered(answer)

    @contextmanager
    def asking_meanwhile(self, round_: Round, *, per_second: float) -> Iterator[None]:
        """Repeat the coming day's requests, flagged, while the block runs and simulated time stands still."""
        requests = self.schedule.between(round_.end, round_.end + DAY)
        done = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as thread:
            asking = thread.submit(self.repeat, round_, requests, 1 / per_second, done)
            try:
                yield
            finally:
                done.set()
        asking.result()

    def repeat(
        self, round_: Round, requests: Sequence[PlannedRequest], pause_seconds: float, done: threading.Event
    ) -> None:
        for request in cycle(requests):
            if done.wait(pause_seconds):
                return
            answer = self.client.send(request, repetition=next(self.repetitions))
            self.ledger.record(round_, [(request, round_.end, answer)])
            self.observer.answered(answer)
