"""Follows the champion alias: loads a new version beside the served one, warms it, then swaps it in.

A thread of its own polls the registry, because a notice can be lost and a poll cannot. The served model is one
attribute of the engine; replacing it is atomic, and a request keeps the model that it started with.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

from infra.logs import logger
from serving.engine import Engine, Refusal
from serving.errors import PackageRefused, RegistryUnavailable
from serving.metrics import Metrics
from serving.model import Model
from serving.model_store import ModelStore
from serving.registry import ModelVersion, Registry

POLL_SECONDS = 0.8
REFUSED_AGAIN_SECONDS = 30.0
log = logger(__name__)


class Watcher:
    """`report_refusal(version, reason)` is called once per refused version and process."""

    def __init__(
        self,
        engine: Engine,
        *,
        store: ModelStore,
        registry: Registry,
        metrics: Metrics,
        report_refusal: Callable[[ModelVersion, str], object],
        alias: str,
    ) -> None:
        self.engine = engine
        self.store = store
        self.registry = registry
        self.metrics = metrics
        self.report_refusal = report_refusal
        self.alias = alias
        self.reported: set[str] = set()
        self.refused_at = 0.0
        self.is_away = False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.follow, name="champion-watcher", daemon=True)

    def start(self) -> None:
        """Serve the last good version at once, if one was kept; then follow the registry."""
        try:
            kept = self.store.load_last_good()
        except PackageRefused as error:
            log.error("the kept model is refused; waiting for the registry", reason=error.problem)
            kept = None
        if kept is not None:
            self.take(kept)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(timeout=10)

    def follow(self) -> None:
        parent = os.getppid()
        while not self.stopping.is_set():
            self.poll()
            if os.getppid() != parent:  # the supervisor was killed: an orphan would hold the port for ever
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self.stopping.wait(POLL_SECONDS)

    def poll(self) -> None:
        """One look at the registry; nothing that happens in it ends the thread or the served model."""
        use_case = self.engine.use_case.name
        try:
            champion = self.registry.version_by_alias(use_case, self.alias)
            self.note_reachable()
            if champion is not None and self.is_news(champion):
                self.take_over(champion)
        except RegistryUnavailable as error:
            self.note_away(error.problem)
        except Exception as error:
            self.metrics.swap_failures.labels(use_case, "error").inc()
            log.exception("a poll of the registry failed; the served version stays", reason=str(error))

    def note_reachable(self) -> None:
        self.metrics.registry_reachable.set(1)
        self.is_away = False

    def note_away(self, reason: str) -> None:
        """Counted at each poll, logged once per absence."""
        self.metrics.registry_reachable.set(0)
        self.metrics.swap_failures.labels(self.engine.use_case.name, "unavailable").inc()
        if not self.is_away:
            log.warning("the registry is away; the served version stays", reason=reason)
        self.is_away = True

    def is_news(self, champion: ModelVersion) -> bool:
        served = self.engine.model
        if served is not None and served.version == champion.version and self.engine.refusal is None:
            return False
        refusal = self.engine.refusal
        if refusal is not None and refusal.version == champion.version:
            return time.monotonic() - self.refused_at > REFUSED_AGAIN_SECONDS
        return True

    def take_over(self, champion: ModelVersion) -> None:
        served = self.engine.model
        if served is not None and served.version == champion.version:
            self.accept()
            return
        try:
            model, raw = self.store.load(self.registry, champion)
        except PackageRefused as error:
            self.refuse(champion, error.problem)
            return
        try:
            self.store.keep(model, raw)
        except OSError as error:
            log.error("the last good version could not be kept on disk", version=champion.version, reason=str(error))
        self.take(model)

    def take(self, model: Model) -> None:
        swapped = self.engine.model is not None
        self.engine.model = model
        self.accept()
        self.metrics.served_version.set(int(model.version))
        if swapped:
            self.metrics.swaps.labels(self.engine.use_case.name).inc()
        log.info("model loaded", use_case=self.engine.use_case.name, version=model.version, swapped=swapped)

    def accept(self) -> None:
        self.engine.refusal = None
        self.metrics.refused_version.set(0)

    def refuse(self, champion: ModelVersion, reason: str) -> None:
        self.engine.refusal = Refusal(champion.version, reason)
        self.refused_at = time.monotonic()
        self.metrics.refused_version.set(int(champion.version))
        self.metrics.swap_failures.labels(self.engine.use_case.name, "refused").inc()
        log.error("champion refused; the served version stays", version=champion.version, reason=reason)
        if champion.version not in self.reported:
            self.report_refusal(champion, reason)
            self.reported.add(champion.version)
