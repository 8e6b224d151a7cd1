"""A use case's BentoML service: the class that `use_cases/` declares on, and how it starts and ends.

`PredictionService` is given to `@bentoml.service(service_class=...)`, BentoML's own seam, to put the edge in front of
the application that BentoML builds.
"""

from typing import Any, ClassVar, cast

import bentoml
from _bentoml_sdk.service.factory import Service  # type: ignore[import-untyped]
from pydantic import BaseModel

from feature_repo.contracts.base import UseCase
from feature_repo.contracts.model_package import CHAMPION
from infra.logs import configure_logs
from infra.settings import Settings
from serving.app import Application, Edge, Runtime
from serving.auth import BearerKey
from serving.engine import Engine, Question
from serving.incidents import open_refusal
from serving.metrics import Metrics
from serving.model_store import ModelStore
from serving.online_features import OnlineFeatures
from serving.prediction_log import PredictionLog
from serving.registry import ModelVersion, Registry
from serving.schema import Answer, Answers
from serving.watcher import Watcher

# Health and OpenAPI go through BentoML; its access log, metrics and tracing would only repeat ours.
QUIET: dict[str, Any] = {
    "workers": 1,
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "tracing": {"excluded_urls": ".*"},
}


class PredictionService(Service[Any]):  # type: ignore[misc]
    """BentoML's service with our edge in front."""

    def __call__(self) -> object:
        self.instance: Predictions = super().__call__()
        return self.instance

    def to_asgi(self, is_main: bool = True) -> Application:
        return Edge(super().to_asgi(is_main=is_main), lambda: self.instance.runtime)


class Predictions:
    """Base of a use case's service class; a subclass names its contract and declares its endpoints."""

    use_case: ClassVar[UseCase]
    log_class: ClassVar[type[PredictionLog]] = PredictionLog

    def __init__(self) -> None:
        configure_logs("serving")
        settings = Settings()
        self.metrics = Metrics(self.use_case.name)
        self.log = self.log_class(settings.prediction_log, durability=settings.durability)
        self.features = OnlineFeatures(self.use_case, settings.online_store, settings.make_clock())
        self.engine = Engine(self.use_case, features=self.features, log=self.log, metrics=self.metrics)
        self.runtime = Runtime(self.engine, key=BearerKey(settings.secret("serving_api_key")))
        self.watcher = self.make_watcher(settings)
        self.watcher.start()

    def make_watcher(self, settings: Settings) -> Watcher:
        def report(version: ModelVersion, reason: str) -> None:
            open_refusal(settings.database, version, reason, now=settings.make_clock().now())

        return Watcher(
            self.engine,
            store=ModelStore.of(self.use_case, settings),
            registry=Registry.of(settings),
            metrics=self.metrics,
            report_refusal=report,
            alias=CHAMPION,
        )

    async def __is_ready__(self) -> bool:
        return self.engine.model is not None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Let the watcher end, then the log: what was acknowledged is on disk when this returns."""
        self.watcher.stop()
        self.features.close()
        self.log.close()

    async def answer(self, request: dict[str, object]) -> Answer:
        """The same answer for a call that comes through BentoML itself and not by our edge."""
        return Answer.model_validate_json(await self.runtime.waiting.answer(Question(request)))

    async def answer_batch(self, batch: dict[str, object]) -> Answers:
        questions = [Question(vars(request)) for request in cast(list[BaseModel], batch["requests"])]
        return Answers.model_validate_json(await self.runtime.answer_questions(questions))
