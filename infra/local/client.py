"""The demo's HTTP client: a few keep-alive connections in threads, and no retry, so that no failure can hide.

The standard library's client costs a quarter of httpx's time per request (0.3 against 1.2 ms of one core), which over
60,000 requests is a minute of a demo of fifteen. A connection that was idle is reopened before use, because a server
may close it at any moment; that is no retry, the request had not been sent.
"""

import json
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Self

from infra.local.schedule import PlannedRequest

TIMEOUT_SECONDS = 10.0
IDLE_SECONDS = 2.0  # shorter than any server's keep-alive timeout (uvicorn: 5 s)
MAX_REASON = 300


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one request; `failure` is None if and only if it was answered with 200 and a complete prediction.

    `sent_at_wall` in microseconds since the epoch; `latency_seconds` from sending to the last byte.
    """

    key: str
    replayed: bool
    sent_at_wall: int
    latency_seconds: float
    status: int | None = None
    prediction_id: str | None = None
    probability: float | None = None
    model_version: str | None = None
    degraded: bool = False
    failure: str | None = None


@dataclass
class Connection:
    """One keep-alive connection, used by one thread."""

    host: str
    port: int
    http: HTTPConnection = field(init=False)
    used_at: float = -IDLE_SECONDS

    def __post_init__(self) -> None:
        self.http = HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Raises OSError or HTTPException; the next call then opens a new connection."""
        if time.monotonic() - self.used_at > IDLE_SECONDS:
            self.http.close()
        try:
            self.http.request("POST", path, body, headers)
            with self.http.getresponse() as response:
                status, content = response.status, response.read()
        except BaseException:
            self.http.close()
            raise
        self.used_at = time.monotonic()
        return status, content


class PredictionClient:
    """Sends planned requests to `POST /predict`, each once, from up to `num_connections` threads."""

    def __init__(self, host: str, port: int, api_key: str, *, run: str, num_connections: int = 4) -> None:
        """`run` makes the idempotency keys of this demo its own."""
        self.host, self.port, self.run = host, port, run
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self.threads = ThreadPoolExecutor(num_connections, thread_name_prefix="client")
        self.local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(cancel_futures=True)

    def send_all(self, requests: Sequence[PlannedRequest]) -> Iterable[Answer]:
        """Send them at the same time, as far as there are connections; answers come in the requests' order."""
        if len(requests) == 1:
            return [self.send(requests[0])]
        return self.threads.map(self.send, requests)

    def send(self, request: PlannedRequest, *, repetition: int | None = None) -> Answer:
        """Send one request and report what happened, whatever that was.

        A `repetition` sends it flagged as replayed, under a key of its own.
        """
        key = f"{self.run}-{request.number}" + ("" if repetition is None else f"-replayed-{repetition}")
        headers = {**self.headers, "Idempotency-Key": key}
        if repetition is not None:
            headers["Flywheel-Replayed"] = "true"
        sent_at_wall, begun = time.time_ns() // 1000, time.perf_counter()
        try:
            status, content = self.connection().post("/predict", request.body, headers)
            outcome = outcome_of(status, content)
        except (OSError, HTTPException) as error:
            outcome = {"failure": f"{type(error).__name__}: {error}"[:MAX_REASON]}
        latency = time.perf_counter() - begun
        return Answer(
            key=key,
            replayed=repetition is not None,
            sent_at_wall=sent_at_wall,
            latency_seconds=latency,
            **outcome,  # type: ignore[arg-type]
        )

    def connection(self) -> Connection:
        """This thread's own connection."""
        if not hasattr(self.local, "connection"):
            self.local.connection = Connection(self.host, self.port)
        connection: Connection = self.local.connection
        return connection


def outcome_of(status: int, content: bytes) -> dict[str, object]:
    """The fields of an `Answer` that a response decides; anything but a complete prediction is a failure."""
    if status != 200:
        return {"status": status, "failure": f"status {status}: {content[:MAX_REASON].decode(errors='replace')}"}
    try:
        answer = json.loads(content)
        return {
            "status": status,
            "prediction_id": str(answer["prediction_id"]),
            "probability": float(answer["probability"]),
            "model_version": str(answer["model_version"]),
            "degraded": bool(answer["degraded"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        return {"status": status, "failure": f"not a prediction ({error!r}): {content[:MAX_REASON]!r}"}
