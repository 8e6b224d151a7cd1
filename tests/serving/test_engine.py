"""The engine where there is nothing to read, nothing to ask, or nothing to record."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feature_repo.contracts.base import UseCase, Value
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.clock import ReplayClock
from serving.engine import Engine, Question
from serving.errors import BadRequest
from serving.metrics import Metrics
from serving.model import Model
from serving.online_features import STORE_MISSING, OnlineFeatures
from serving.package import RawPackage, load_package
from serving.prediction_log import PredictionLog
from serving.schema import RequestParser
from tests.serving.installation import NOW, REQUEST
from tests.serving.packages import constant_package

KEY = Ed25519PrivateKey.generate()
AGE = "flywheel_feature_age_seconds{"


def nothing(request: Mapping[str, object], features: Mapping[str, Value]) -> dict[str, Value]:
    return {}


def model_of(use_case: UseCase) -> Model:
    package = constant_package(use_case, 0.25, KEY)
    raw = RawPackage(manifest=package.manifest, signature=package.signature, model=package.model)
    return load_package(raw, key=KEY.public_key(), use_case=use_case, version="1", run_id="run")


class Engines:
    """Engines without an online store, on one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ReplayClock(folder / "clock")
        self.clock.advance(NOW)
        self.log = PredictionLog(folder / "predictions.db", durability="write")

    def make(self, use_case: UseCase) -> Engine:
        features = OnlineFeatures(use_case, self.folder / "online_store.db", self.clock)
        engine = Engine(use_case, features=features, log=self.log, metrics=Metrics(use_case.name))
        engine.model = model_of(use_case)
        return engine


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    made = Engines(tmp_path)
    with made.log:
        yield made


def question(**changes: object) -> Question:
    body = json.dumps({**REQUEST, **changes}).encode()
    return Question(RequestParser(FLIGHT_DELAY).request(body))


def answered(engine: Engine, one: Question) -> str:
    (outcome,) = engine.answer([one])
    assert isinstance(outcome, bytes)
    return outcome.decode()


def test_no_question_has_no_answer(engines: Engines) -> None:
    engine = engines.make(FLIGHT_DELAY)
    assert engine.model is not None
    assert (engine.answer([]), engine.model.predict([])) == ([], [])


def test_an_answer_without_features_has_no_age_to_show(engines: Engines) -> None:
    engine = engines.make(FLIGHT_DELAY)
    assert AGE not in engine.metrics.exposition().decode(), "before the first answer"
    engine.metrics.feature_age.seconds = 600.0
    assert f'{AGE}use_case="flight_delay"}} 600.0' in engine.metrics.exposition().decode()

    assert f'"reasons":["{STORE_MISSING}"]' in answered(engine, question())

    assert AGE not in engine.metrics.exposition().decode(), "the age of an earlier answer is not that of the newest"


def test_a_request_whose_nullable_field_is_null_is_answered(engines: Engines) -> None:
    assert '"degraded":true' in answered(engines.make(FLIGHT_DELAY), question(tail_number=None))


def test_without_a_request_time_feature_the_vector_is_the_views(engines: Engines) -> None:
    use_case = replace(FLIGHT_DELAY, request_columns=(), request_features=nothing)
    assert '"probability":0.25' in answered(engines.make(use_case), question())


def test_a_request_that_cannot_be_answered_does_not_wait_for_the_log(engines: Engines) -> None:
    def overflowing(request: Mapping[str, object], features: Mapping[str, Value]) -> dict[str, Value]:
        raise OverflowError("no such number")

    engine = engines.make(replace(FLIGHT_DELAY, request_columns=(), request_features=overflowing))
    with closing(sqlite3.connect(engines.log.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (outcome,) = engine.answer([question()])
    assert isinstance(outcome, BadRequest)
    assert "no such number" in outcome.problem
