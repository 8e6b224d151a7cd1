"""Requests to recorded answers: features, request-time features, model, log, in this order and as one group.

A group is whatever waits when the engine gets its turn, so that one read transaction, one run of the model and one
commit serve all of it; a lone request waits for nobody.
"""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from feature_repo.contracts.base import UseCase, Value
from infra.clock import to_microseconds
from serving.errors import BadRequest, NotReady, ServingError
from serving.metrics import Metrics
from serving.model import Model
from serving.online_encoding import cast
from serving.online_features import FeatureRead, OnlineFeatures, age_seconds, as_of_microseconds
from serving.prediction_log import LoggedPrediction, PredictionLog

Outcome = bytes | ServingError


@dataclass(frozen=True, slots=True)
class Question:
    """A validated request; `idempotency_key` is the client's, or None."""

    request: Mapping[str, object]
    idempotency_key: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    version: str
    reason: str


class Engine:
    """Answers from one thread; `model` is replaced by another thread, as a whole."""

    def __init__(self, use_case: UseCase, *, features: OnlineFeatures, log: PredictionLog, metrics: Metrics) -> None:
        self.use_case = use_case
        self.features = features
        self.log = log
        self.metrics = metrics
        self.model: Model | None = None
        self.refusal: Refusal | None = None
        self.view_names = tuple(column.name for column in use_case.view_columns)
        self.encode = msgspec.json.Encoder().encode

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        """One outcome per question, in order. Raises NotReady or NotLogged if none of them can be answered."""
        model = self.model
        if model is None:
            raise NotReady("no model is loaded yet")
        outcomes: dict[int, Outcome] = {}
        first_by_key: dict[str, int] = {}
        fresh: list[int] = []
        for index, question in enumerate(questions):
            key = question.idempotency_key
            if key is None:
                fresh.append(index)
            elif (stored := self.repeat(question, key)) is not None:
                outcomes[index] = stored
            elif key not in first_by_key:
                first_by_key[key] = index
                fresh.append(index)
        outcomes |= self.answer_fresh(model, questions, fresh)
        for index, question in enumerate(questions):
            if index not in outcomes:
                assert question.idempotency_key is not None
                outcomes[index] = (
                    self.repeat(question, question.idempotency_key) or outcomes[first_by_key[question.idempotency_key]]
                )
        return [outcomes[index] for index in range(len(questions))]

    def repeat(self, question: Question, key: str) -> Outcome | None:
        """The stored answer of a key that was answered before; a conflict if it was for another request."""
        stored = self.log.answered(self.use_case.name, key)
        if stored is None:
            return None
        request, answer = stored
        if request != self.encode(question.request).decode():
            return BadRequest(
                "was used before, for another request", field="Idempotency-Key", expected="a new key", status=409
            )
        return answer.encode()

    def answer_fresh(self, model: Model, questions: Sequence[Question], fresh: Sequence[int]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        if not fresh:
            return outcomes
        read = self.features.read([questions[index].request for index in fresh])
        vectors: dict[int, list[Value]] = {}
        for position, index in enumerate(fresh):
            try:
                vectors[index] = self.vector(questions[index].request, read.features[position])
            except (ArithmeticError, ValueError) as error:
                outcomes[index] = BadRequest(str(error), field="request", expected="values that features exist for")
        rows = self.rows(model, questions, read, fresh, vectors)
        self.log.write(list(rows.values()))
        self.count(model, rows.values(), read)
        return outcomes | {index: row.answer.encode() for index, row in rows.items()}

    def vector(self, request: Mapping[str, object], features: Mapping[str, Value]) -> list[Value]:
        """The contract's vector: what the store has, then what the request says; the reader has cast its float32."""
        asked = self.use_case.request_features(request, features)
        return [
            *(features[name] for name in self.view_names),
            *(cast(column, asked[column.name]) for column in self.use_case.request_columns),
        ]

    def rows(
        self,
        model: Model,
        questions: Sequence[Question],
        read: FeatureRead,
        fresh: Sequence[int],
        vectors: Mapping[int, list[Value]],
    ) -> dict[int, LoggedPrediction]:
        probabilities = dict(zip(vectors, model.predict(list(vectors.values())), strict=True))
        reasons_by_index = dict(zip(fresh, read.reasons, strict=True))
        return {
            index: self.row(model, questions[index], read, vector, probabilities[index], reasons_by_index[index])
            for index, vector in vectors.items()
        }

    def row(
        self,
        model: Model,
        question: Question,
        read: FeatureRead,
        vector: list[Value],
        probability: float,
        reasons: tuple[str, ...],
    ) -> LoggedPrediction:
        prediction_id = str(uuid.uuid4())
        decision = probability >= model.threshold
        answer = {
            "prediction_id": prediction_id,
            "probability": probability,
            "decision": decision,
            "model_version": model.version,
            "feature_age_seconds": age_seconds(read),
            "degraded": bool(reasons),
            "reasons": reasons,
        }
        return LoggedPrediction(
            prediction_id=prediction_id,
            use_case=self.use_case.name,
            idempotency_key=question.idempotency_key or prediction_id,
            requested_at=to_microseconds(read.now),
            logged_at=time.time_ns() // 1000,
            replayed=int(question.replayed),
            model_version=model.version,
            feature_service=self.use_case.feature_service,
            as_of=as_of_microseconds(read),
            request=self.encode(question.request).decode(),
            vector=self.encode(vector).decode(),
            probability=probability,
            decision=int(decision),
            degraded=self.encode(reasons).decode(),
            answer=self.encode(answer).decode(),
        )

    def count(self, model: Model, rows: Iterable[LoggedPrediction], read: FeatureRead) -> None:
        name = self.use_case.name
        for row in rows:
            self.metrics.predictions.labels(name, model.version, str(row.replayed)).inc()
        for reasons in read.reasons:
            for reason in reasons:
                self.metrics.degraded.labels(name, reason).inc()
        self.metrics.feature_age.seconds = age_seconds(read)
