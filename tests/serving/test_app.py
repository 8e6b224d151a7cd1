"""The service as its callers meet it: a real `bentoml serve` with a store that Feast wrote and a model from MLflow."""

import asyncio
import http.client
import json
import pickle
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.clock import to_microseconds
from infra.settings import Settings
from tests.serving.feast_store import FeastStore
from tests.serving.installation import NOW, REPOSITORY, REQUEST, Registrar, Service, running_service
from tests.serving.packages import constant_package

INSTANT = datetime(2013, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(settings: Settings) -> FeastStore:
    store = FeastStore(FLIGHT_DELAY, settings.root)
    for number, view in enumerate(FLIGHT_DELAY.views):
        row: dict[str, object] = {name: REQUEST[name] for name in view.join_keys}
        row |= {column.name: number + position / 3 for position, column in enumerate(view.columns)}
        if "aircraft_back_at" in row:
            row["aircraft_back_at"] = 1372680000
        store.write(view.name, [row], INSTANT + FLIGHT_DELAY.lag)
    store.publish(INSTANT)
    return store


@pytest.fixture(scope="module")
def service(settings: Settings, store: FeastStore, registrar: Registrar, key: Ed25519PrivateKey) -> Iterator[Service]:
    version = registrar.register(lambda run_id: constant_package(FLIGHT_DELAY, 0.25, key, run_id=run_id))
    registrar.set_alias("champion", version)
    with running_service(settings) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def logged(settings: Settings, prediction_id: str) -> dict[str, Any]:
    with sqlite3.connect(settings.prediction_log) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM predictions WHERE prediction_id = ?", (prediction_id,)).fetchone()
    connection.close()
    return dict(row)


def error_of(response: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"field", "problem", "expected"}
    assert "Traceback" not in response.text
    return error


def test_an_answer_says_what_it_is_and_was_logged_with_its_vector(client: httpx.Client, settings: Settings) -> None:
    answer = client.post("/predict", json=REQUEST, headers={"Flywheel-Replayed": "true"}).json()

    assert answer == {
        "prediction_id": answer["prediction_id"],
        "probability": 0.25,
        "decision": False,
        "model_version": "1",
        "feature_age_seconds": 600.0,
        "degraded": False,
        "reasons": [],
    }
    row = logged(settings, answer["prediction_id"])
    assert json.loads(row["answer"]) == answer
    assert row["requested_at"] == to_microseconds(NOW)
    assert row["as_of"] == to_microseconds(INSTANT)
    assert row["replayed"] == 1
    assert datetime.fromisoformat(json.loads(row["request"])["scheduled_departure"]) == datetime(
        2013, 7, 1, 14, 15, tzinfo=UTC
    )


def test_the_logged_vector_is_feasts_features_and_the_contracts_request_features_bit_for_bit(
    client: httpx.Client, settings: Settings, store: FeastStore
) -> None:
    prediction_id = client.post("/predict", json=REQUEST).json()["prediction_id"]

    vector = json.loads(logged(settings, prediction_id)["vector"])
    request = {**REQUEST, **{name: datetime.fromisoformat(REQUEST[name]) for name in times()}}  # type: ignore[arg-type]
    features: dict[str, Any] = store.read([REQUEST])[0]
    expected = {**features, **FLIGHT_DELAY.request_features(request, features)}
    for column, value in zip(FLIGHT_DELAY.vector, vector, strict=True):
        if isinstance(value, float):
            assert struct.pack("<f", value) == struct.pack("<f", expected[column.name]), column.name
            assert struct.unpack("<f", struct.pack("<f", value))[0] == value, column.name
        else:
            assert value == expected[column.name], column.name


def times() -> tuple[str, str]:
    return "scheduled_departure", "scheduled_arrival"


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"origin": "XXX"}, ["absent:origin_traffic", "absent:origin_carrier_traffic", "absent:origin_weather"]),
        ({"carrier": "ZZ"}, ["absent:carrier_traffic", "absent:origin_carrier_traffic"]),
        ({"tail_number": "N0"}, ["absent:aircraft"]),
        ({"tail_number": None}, ["absent:aircraft"]),
        ({"carrier": "\0'\";"}, None),
    ],
)
def test_what_nobody_knows_is_answered_and_flagged(
    client: httpx.Client, change: dict[str, object], reasons: list[str] | None
) -> None:
    response = client.post("/predict", json={**REQUEST, **change})

    if reasons is None:
        assert error_of(response)["field"] == "carrier"
        return
    assert response.status_code == 200
    assert response.json()["degraded"] is True
    assert response.json()["reasons"] == reasons


def test_a_batch_is_answered_in_order(client: httpx.Client) -> None:
    requests = [{**REQUEST, "origin": "XXX" if number % 2 else "EWR"} for number in range(150)]

    answers = client.post("/predict_batch", json={"requests": requests}).json()["answers"]

    assert [answer["degraded"] for answer in answers] == [bool(number % 2) for number in range(150)]
    assert len({answer["prediction_id"] for answer in answers}) == 150


def test_a_repeat_of_a_key_gets_the_stored_answer_and_no_second_row(client: httpx.Client, settings: Settings) -> None:
    headers = {"Idempotency-Key": "once"}

    first = client.post("/predict", json=REQUEST, headers=headers)
    with ThreadPoolExecutor(8) as threads:
        again = list(threads.map(lambda _: client.post("/predict", json=REQUEST, headers=headers), range(16)))

    assert {response.content for response in again} == {first.content}
    with sqlite3.connect(settings.prediction_log) as connection:
        assert connection.execute("SELECT count(*) FROM predictions WHERE idempotency_key = 'once'").fetchone() == (1,)


def test_a_key_used_for_another_request_is_a_conflict(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "other"}
    client.post("/predict", json=REQUEST, headers=headers).raise_for_status()

    response = client.post("/predict", json={**REQUEST, "flight": 1}, headers=headers)

    assert response.status_code == 409
    assert error_of(response)["field"] == "Idempotency-Key"


def test_repeats_inside_one_batch_of_requests_are_one_answer(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda _: client.post("/predict", json=REQUEST, headers={"Idempotency-Key": "at once"}), range(16)
            )
        )

    assert {response.status_code for response in answers} == {200}
    assert len({response.content for response in answers}) == 1


PICKLE = "application/vnd.bentoml+pickle"
GOOD_BODY = json.dumps(REQUEST).encode()
REFUSED: dict[str, tuple[str, str, dict[str, str], bytes, int, str]] = {
    "a wrong field": ("POST", "/predict", {}, b"{}", 400, "carrier"),
    "a GET": ("GET", "/predict", {}, b"", 405, "method"),
    "a DELETE of anything": ("DELETE", "/livez", {}, b"", 405, "method"),
    "a POST to BentoML's own paths": ("POST", "/schema.json", {}, b"x", 405, "method"),
    "another media type": ("POST", "/predict", {"Content-Type": PICKLE}, GOOD_BODY, 415, "Content-Type"),
    "a form": ("POST", "/predict", {"Content-Type": "multipart/form-data; boundary=x"}, b"--x", 415, "Content-Type"),
    "a packed body": ("POST", "/predict", {"Content-Encoding": "gzip"}, GOOD_BODY, 415, "Content-Encoding"),
    "a body over its limit": ("POST", "/predict", {}, b" " * (1024 * 1024 + 1), 413, "body"),
    "a batch of too many": (
        "POST", "/predict_batch", {}, json.dumps({"requests": [{}] * 1001}).encode(), 400, "requests",
    ),
    "a batch of none": ("POST", "/predict_batch", {}, b'{"requests": []}', 400, "requests"),
    "an empty key": ("POST", "/predict", {"Idempotency-Key": ""}, GOOD_BODY, 400, "Idempotency-Key"),
    "a long key": ("POST", "/predict", {"Idempotency-Key": "k" * 201}, GOOD_BODY, 400, "Idempotency-Key"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_request_that_cannot_be_answered_is_refused_with_the_field(
    client: httpx.Client, method: str, path: str, headers: dict[str, str], body: bytes, status: int, field: str
) -> None:
    response = client.request(method, path, content=body, headers=headers)

    assert response.status_code == status
    assert error_of(response)["field"] == field


def test_a_body_without_a_length_is_cut_off_at_its_limit(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.settings.serving_port, timeout=10)
    key = service.settings.secret("serving_api_key")
    chunks = (b" " * 65536 for _ in range(17))

    connection.request("POST", "/predict", chunks, {"Authorization": f"Bearer {key}"}, encode_chunked=True)

    assert connection.getresponse().status == 413


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("header", ["Content-Type", "content-type", "Payload-Container", "X-Bentoml-Type"])
@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/", "/schema.json"])
def test_a_pickle_is_never_opened(client: httpx.Client, tmp_path: Path, header: str, path: str) -> None:
    canary = tmp_path / "canary"

    response = client.post(path, content=pickle.dumps(Canary(canary)), headers={header: PICKLE})

    assert 400 <= response.status_code < 500
    assert not canary.exists()


def mutants(num_mutants: int) -> Iterator[bytes]:
    """Good bodies with a few bytes changed, cut out or repeated, from a fixed seed."""
    random = np.random.default_rng(1)
    for _ in range(num_mutants):
        raw = bytearray(GOOD_BODY)
        for _ in range(random.integers(1, 6)):
            position = int(random.integers(len(raw)))
            length = int(random.integers(1, 12))
            raw[position : position + length] = random.choice(
                [b"", b"\x00", b"\xff", b"null", b"1e308", b"[[[[", b'"', b"{", bytes(raw[position : position + 40])]
            )
        yield bytes(raw)


def test_no_body_whatever_makes_the_service_fail(client: httpx.Client) -> None:
    answers = [(raw, client.post("/predict", content=raw)) for raw in mutants(400)]

    assert [(raw, answer.status_code) for raw, answer in answers if answer.status_code not in (200, 400)] == []
    assert {error_of(answer)["field"] for _, answer in answers if answer.status_code == 400}


def test_more_requests_at_once_than_it_takes_are_turned_away_and_none_breaks(service: Service) -> None:
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(GOOD_BODY)}\r\n"
        f"Authorization: Bearer {service.settings.secret('serving_api_key')}\r\n\r\n"
    ).encode()

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.settings.serving_port)
        writer.write(head + GOOD_BODY)
        answer = await reader.read()
        writer.close()
        return answer

    async def flood() -> list[bytes]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*(ask() for _ in range(600)))

    answers = asyncio.run(flood())

    num_answered = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    turned_away = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
    assert num_answered >= 200
    assert num_answered + len(turned_away) == len(answers)
    assert all(b"retry-after: 1" in answer for answer in turned_away)


def test_clients_that_send_slowly_are_ended_and_keep_nobody_waiting(service: Service, client: httpx.Client) -> None:
    head = (
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {service.settings.secret('serving_api_key')}\r\n\r\n{{"
    )
    slow = [socket.create_connection(("127.0.0.1", service.settings.serving_port), timeout=15) for _ in range(50)]
    for connection in slow:
        connection.sendall(head.encode())

    latencies = [client.post("/predict", json=REQUEST).elapsed.total_seconds() for _ in range(20)]
    answers = [connection.recv(4096) for connection in slow]

    for connection in slow:
        connection.close()
    assert max(latencies) < 0.5
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/info", "/metrics", "/docs.json", "/", "/nothing"])
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic Zmx5d2hlZWw6cGFzc3dvcmQ="])
def test_nothing_but_health_is_told_to_a_stranger(service: Service, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    response = httpx.get(service.url + path, headers=headers, trust_env=False)

    assert response.status_code == 401
    assert error_of(response)["field"] == "Authorization"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_needs_no_key(service: Service, path: str) -> None:
    assert httpx.get(service.url + path, trust_env=False).status_code == 200


def test_openapi_describes_the_request(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()

    schema = document["components"]["schemas"]
    assert {"/predict", "/predict_batch"} <= set(document["paths"])
    request = next(part for name, part in schema.items() if name.endswith("Request"))
    assert set(request["required"]) == {field.name for field in FLIGHT_DELAY.request}
    assert request["properties"]["scheduled_departure"]["format"] == "date-time"


def test_no_caller_can_make_a_metric_grow(client: httpx.Client, service: Service) -> None:
    client.post("/predict", json=REQUEST)
    client.get("/nothing")
    client.post("/predict", json={})

    def num_series() -> int:
        return sum(not line.startswith("#") for line in client.get("/metrics").text.splitlines())

    before = num_series()
    for number in range(150):
        client.get(f"/path-{number}", headers={"User-Agent": f"agent-{number}"})
        client.post("/predict", json={**REQUEST, "carrier": f"Z{number % 10}", "flight": number})
        client.post("/predict", json={**REQUEST, f"field-{number}": 1})
        client.request(f"METHOD{number}", "/predict")
    assert num_series() - before <= 10
    assert "path-1" not in client.get("/metrics").text


def test_info_says_what_is_served(service: Service) -> None:
    info = service.info()

    assert (info["use_case"], info["model_version"], info["feature_service"]) == (
        "flight_delay",
        "1",
        "flight_delay_v1",
    )
    assert info["watermark"] == to_microseconds(INSTANT)
    assert abs(info["loaded_at_wall"] - to_microseconds(datetime.now(UTC))) < timedelta(hours=1) / timedelta(
        microseconds=1
    )


def test_no_secret_stands_in_the_logs(client: httpx.Client, service: Service) -> None:
    client.post("/predict", content=b"{")
    log = (service.settings.root / "service.log").read_text()

    secrets = [path.read_text() for path in (service.settings.root / "secrets").iterdir()]
    assert log
    assert not [secret for secret in secrets if secret in log or secret in client.get("/metrics").text]


def test_the_serving_process_imports_no_training_and_no_feature_framework() -> None:
    script = (
        "import sys, serving.use_cases.flight_delay, serving.__main__, serving.release, serving.explain, serving.score;"
        "print([name for name in ('feast', 'torch', 'mlflow', 'pandas', 'google.protobuf') if name in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_a_store_that_goes_away_degrades_answers_and_fails_none(
    client: httpx.Client, settings: Settings, store: FeastStore
) -> None:
    away = store.path.rename(store.path.with_suffix(".away"))
    without = client.post("/predict", json=REQUEST)
    away.rename(store.path)
    restored = client.post("/predict", json=REQUEST)

    assert without.status_code == 200
    assert without.json()["reasons"] == ["store_missing"]
    assert without.json()["feature_age_seconds"] is None
    assert logged(settings, without.json()["prediction_id"])["as_of"] is None
    assert restored.json()["degraded"] is False
