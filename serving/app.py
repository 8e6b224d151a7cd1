"""The HTTP edge: an ASGI function put in front of BentoML's own application.

BentoML's middlewares cost several times what a prediction costs and stall for 100 ms and more now and then. So the
few paths that matter are answered here, and everything else (health, OpenAPI) goes on to BentoML, for GET alone: no
body ever reaches BentoML's parsers.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from infra.clock import to_microseconds
from infra.logs import logger
from serving.auth import BearerKey
from serving.engine import Engine, Question
from serving.errors import BadRequest, ServingError
from serving.limits import check_headers, idempotency_key, read_body
from serving.queue import Waiting
from serving.schema import RequestParser

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
METHOD_BY_PATH = {"/predict": "POST", "/predict_batch": "POST", "/info": "GET", "/metrics": "GET"}
log = logger(__name__)


class Runtime:
    """What a running service consists of, for the edge."""

    def __init__(self, engine: Engine, *, key: BearerKey) -> None:
        self.engine = engine
        self.key = key
        self.parser = RequestParser(engine.use_case)
        self.waiting = Waiting(engine)

    async def predict(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        check_headers(headers)
        request = self.parser.request(await read_body(receive))
        return await self.waiting.answer(Question(request, idempotency_key(headers), is_replayed(headers)))

    async def predict_batch(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """All or nothing in the answer: an error names the request that it belongs to."""
        check_headers(headers)
        requests = self.parser.batch(await read_body(receive))
        key, replayed = idempotency_key(headers), is_replayed(headers)
        questions = [
            Question(request, None if key is None else f"{key}/{index}", replayed)
            for index, request in enumerate(requests)
        ]
        return await self.answer_questions(questions)

    async def answer_questions(self, questions: list[Question]) -> bytes:
        """Raises the first question's error, named by its place."""
        answers = []
        for index, outcome in enumerate(await self.waiting.answer_all(questions)):
            if isinstance(outcome, ServingError):
                outcome.field = f"requests.{index}.{outcome.field}"
                raise outcome
            answers.append(outcome)
        return b'{"answers":[' + b",".join(answers) + b"]}"

    def info(self) -> bytes:
        """What is served, and what was refused; times in microseconds since the epoch."""
        model, refusal, engine = self.engine.model, self.engine.refusal, self.engine
        watermark = engine.features.watermark()
        return msgspec.json.encode(
            {
                "use_case": engine.use_case.name,
                "feature_service": engine.use_case.feature_service,
                "model_version": None if model is None else model.version,
                "run_id": None if model is None else model.manifest.run_id,
                "loaded_at_wall": None if model is None else model.loaded_at_wall,
                "watermark": None if watermark is None else to_microseconds(watermark),
                "refused": None if refusal is None else {"version": refusal.version, "reason": refusal.reason},
            }
        )


class Edge:
    """Answers our paths, guards and passes on the others. `runtime` gives None until the service has started."""

    def __init__(self, inner: Application, runtime: Callable[[], Runtime | None]) -> None:
        self.inner = inner
        self.runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.inner(scope, receive, send)
            return
        runtime = self.runtime()
        assert runtime is not None, "requests come after the lifespan's start"
        start = time.perf_counter()
        path, headers = scope["path"], dict(scope["headers"])
        endpoint = path if path in METHOD_BY_PATH else "other"
        try:
            check_access(runtime, path, scope["method"], headers)
            if endpoint == "other":
                await self.inner(scope, receive, send)
                return
            body, media_type = await answer(runtime, path, headers, receive)
            status = 200
        except ServingError as error:
            status, body, media_type = error.status, error.to_json(), JSON
        except Exception as error:
            log.exception("a request failed by our own fault", endpoint=endpoint, reason=str(error))
            own = ServingError("failed inside", expected="the service's log says why")
            status, body, media_type = 500, own.to_json(), JSON
        metrics = runtime.engine.metrics
        if path == "/predict" and status == 200:
            metrics.latency.observe(time.perf_counter() - start)
        metrics.requests.labels(metrics.use_case, endpoint, str(status)).inc()
        await respond(send, status, body, media_type)


async def answer(runtime: Runtime, path: str, headers: dict[bytes, bytes], receive: Receive) -> tuple[bytes, bytes]:
    if path == "/predict":
        return await runtime.predict(headers, receive), JSON
    if path == "/predict_batch":
        return await runtime.predict_batch(headers, receive), JSON
    if path == "/info":
        return runtime.info(), JSON
    return runtime.engine.metrics.exposition(), b"text/plain; version=0.0.4; charset=utf-8"


def check_access(runtime: Runtime, path: str, method: str, headers: dict[bytes, bytes]) -> None:
    if not runtime.key.admits(path, headers.get(b"authorization", b"")):
        raise BadRequest("is missing or wrong", field="Authorization", expected="Bearer <key>", status=401)
    expected = METHOD_BY_PATH.get(path, "GET")
    if method != expected:
        raise BadRequest(f"is {method}", field="method", expected=expected, status=405)


def is_replayed(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"flywheel-replayed", b"").lower() == b"true"


async def respond(send: Send, status: int, body: bytes, media_type: bytes) -> None:
    headers = [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
    if status in (503, 507):
        headers.append((b"retry-after", b"1"))
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
