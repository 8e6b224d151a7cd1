"""The micro-batch process: at every instant of the grid it brings the online store up to date.

When the clock reaches an instant it computes, when the clock reaches instant + lag it publishes: so a row is served
exactly from its `available_at` on. It needs no memory of its own: a restart rebuilds the newest rows from the landing
files and goes on from what the online store holds, instant by instant, so a kill loses and repeats nothing.
"""

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.errors import OnlineStoreError
from feature_repo.microbatch import MicroBatch, after_changes, find_changes
from feature_repo.online_store import Change, Encoded, FencedOutError, OnlineStore
from feature_repo.sources import Source
from feature_repo.transforms import Transforms
from infra.clock import Clock
from infra.lake import Lake
from infra.logs import logger

log = logger(__name__)

POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Publication:
    """An instant that is computed and waits for its lag: then only the writing is left."""

    instant: datetime
    changes: dict[str, Change]
    encoded: dict[str, Encoded]


class Stream:
    """`advance` does whatever is due and says whether it published."""

    def __init__(
        self,
        transforms: Transforms,
        sources: Sequence[Source],
        *,
        lake: Lake,
        online_store: Path,
        clock: Clock,
        chaos: Chaos = no_chaos,
    ) -> None:
        self.transforms, self.clock, self.contract = transforms, clock, transforms.contract
        self.micro_batch = MicroBatch(transforms, sources, lake)
        self.store = OnlineStore(online_store, self.contract, chaos)
        self.watermark, self.held = self.store.contents()
        self.prepared: Publication | None = None

    def advance(self) -> bool:
        now = self.clock.now()
        instant = self.next_instant(now)
        if now < instant:
            return False
        if self.prepared is None or self.prepared.instant != instant:
            self.prepared = self.prepare(instant)
        if now < instant + self.contract.lag:
            return False
        self.publish(self.prepared)
        return True

    def prepare(self, instant: datetime) -> Publication:
        self.micro_batch.take_deliveries(instant)
        current = self.micro_batch.features_at(instant)
        changes = find_changes(self.transforms, instant, self.held, current)
        return Publication(instant, changes, self.store.encode(changes))

    def next_instant(self, now: datetime) -> datetime:
        """The one after the watermark, so that missed instants are made up for in order; the newest in a new store.

        A gap longer than what the sources remember cannot be made up for and is skipped. Raises OnlineStoreError if the
        store is that far ahead.
        """
        newest_due = self.contract.floor(now - self.contract.lag)
        if self.watermark is not None and self.watermark - newest_due > self.transforms.history:
            raise OnlineStoreError(
                f"the online store is at {self.watermark.isoformat()}, the clock says {now.isoformat()}: "
                "the store lives by another clock; see FLYWHEEL_CLOCK"
            )
        if self.watermark is None or newest_due - self.watermark > self.transforms.history:
            return newest_due
        return self.watermark + self.contract.step

    def publish(self, publication: Publication) -> None:
        instant, changes = publication.instant, publication.changes
        self.prepared = None
        try:
            self.store.publish(instant, publication.encoded, after=self.watermark)
        except FencedOutError as error:
            log.warning("store_moved", reason=str(error))
            self.watermark, self.held = self.store.contents()
            return
        self.watermark, self.held = instant, after_changes(self.held, changes)
        num_written = sum(len(change.written) for change in changes.values())
        num_deleted = sum(len(change.deleted) for change in changes.values())
        log.info("published", instant=instant.isoformat(), written=num_written, deleted=num_deleted)


def run(stream: Stream) -> None:
    """Until SIGTERM or SIGINT, which end it between two steps."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    log.info("streaming", use_case=stream.contract.name, watermark=str(stream.watermark))
    while not stop.is_set():
        if not stream.advance():
            stop.wait(POLL_SECONDS)
    stream.store.close()
