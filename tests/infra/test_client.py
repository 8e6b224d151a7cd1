import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from infra.local.client import PredictionClient
from infra.local.schedule import PlannedRequest

ANSWER = {"prediction_id": "p", "probability": 0.25, "model_version": "3", "degraded": False, "reasons": []}


class Service(ThreadingHTTPServer):
    """A real server on a free port: answers by the request's flight number and remembers what it was sent."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, str]] = []
        self.num_connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def setup(self) -> None:
        super().setup()
        self.server.num_connections += 1

    def do_POST(self) -> None:
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["flight"] == 500:
            self.answer(500, b"the model is on fire")
        elif body["flight"] == 404:
            self.answer(200, b'{"probability": 0.5}')
        elif body["flight"] == 0:
            self.close_connection = True
        else:
            self.answer(200, json.dumps(ANSWER).encode())

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client_of(service: Service) -> PredictionClient:
    return PredictionClient("127.0.0.1", service.server_port, "key", run="run")


def request(number: int, flight: int = 1) -> PlannedRequest:
    body = json.dumps({"flight": flight}).encode()
    return PlannedRequest(number=number, asked_at=0, entity=("UA", flight, "EWR", 0), body=body)


def test_an_answer_carries_what_the_service_said(service: Service) -> None:
    with client_of(service) as client:
        answer = client.send(request(7))
    assert (answer.status, answer.failure, answer.probability, answer.model_version) == (200, None, 0.25, "3")
    assert answer.latency_seconds > 0
    assert service.seen[0]["authorization"] == "Bearer key"
    assert service.seen[0]["idempotency-key"] == "run-7"
    assert "flywheel-replayed" not in service.seen[0]


def test_a_repetition_is_flagged_and_has_a_key_of_its_own(service: Service) -> None:
    with client_of(service) as client:
        answer = client.send(request(7), repetition=2)
    assert answer.replayed
    assert service.seen[0]["flywheel-replayed"] == "true"
    assert service.seen[0]["idempotency-key"] == answer.key == "run-7-replayed-2"


@pytest.mark.parametrize(
    ("flight", "status", "reason"),
    [
        pytest.param(500, 500, "status 500: the model is on fire", id="error"),
        pytest.param(404, 200, "not a prediction", id="incomplete"),
        pytest.param(0, None, "RemoteDisconnected", id="connection closed"),
    ],
)
def test_whatever_is_not_a_prediction_is_a_failure_sent_once(
    service: Service, flight: int, status: int | None, reason: str
) -> None:
    with client_of(service) as client:
        answer = client.send(request(1, flight))
        assert (answer.status, answer.probability) == (status, None)
        assert answer.failure is not None
        assert answer.failure.startswith(reason)
        assert len(service.seen) == 1
        assert client.send(request(2)).failure is None


def test_a_service_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = PredictionClient("127.0.0.1", free.getsockname()[1], "key", run="run")
    with client:
        answer = client.send(request(1))
    assert answer.failure is not None
    assert answer.failure.startswith("ConnectionRefusedError")


def test_answers_come_in_the_order_of_their_requests_over_few_connections(service: Service) -> None:
    flights = [500 if number % 3 == 0 else 1 for number in range(60)]
    with client_of(service) as client:
        answers = list(client.send_all([request(number, flight) for number, flight in enumerate(flights)]))
    assert [answer.key for answer in answers] == [f"run-{number}" for number in range(60)]
    assert [answer.status for answer in answers] == [500 if flight == 500 else 200 for flight in flights]
    assert service.num_connections <= 4


def test_one_connection_is_kept_alive_and_fast(service: Service) -> None:
    with client_of(service) as client:
        begun = time.perf_counter()
        answers = [client.send(request(number)) for number in range(300)]
        rate = 300 / (time.perf_counter() - begun)
    print(f"{rate:.0f} requests/s on one connection to a Python server in the same process")
    assert all(answer.failure is None for answer in answers)
    assert service.num_connections == 1
    assert rate > 100


def test_no_request_has_no_answer(service: Service) -> None:
    with client_of(service) as client:
        assert list(client.send_all([])) == []
    assert service.seen == []
