"""kill -9 of the service under load, and starts without MLflow: what was acknowledged is there, exactly once."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.settings import Settings
from serving import launch
from serving.model_store import ModelStore, Origin
from serving.package import RawPackage
from tests.serving.installation import (
    REQUEST,
    make_settings,
    running_service,
    start_service,
    wait_until,
)
from tests.serving.load import Ledger, Load
from tests.serving.packages import constant_package, signing_key


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No MLflow at all: nobody listens on its port; a good version was kept by a former process."""
    settings = make_settings(tmp_path / "var")
    keep_version(settings, signing_key(settings.root / "secrets"))
    return settings


def keep_version(settings: Settings, key: Ed25519PrivateKey) -> None:
    package = constant_package(FLIGHT_DELAY, 0.25, key)
    raw = RawPackage(manifest=package.manifest, signature=package.signature, model=package.model)
    store = ModelStore.of(FLIGHT_DELAY, settings)
    store.keep(store.verified(raw, Origin("7", "run")), raw)


def test_a_service_answers_while_the_database_of_the_layers_is_away(settings: Settings) -> None:
    """It keeps refusals there and nothing that an answer needs."""
    with running_service(settings) as service, service.client() as client:
        for path in settings.root.glob("control.db*"):
            path.unlink()
        assert client.post("/predict", json=REQUEST).status_code == 200
    assert not list(settings.root.glob("control.db*"))


def rows_by_key(settings: Settings) -> dict[str, int]:
    with sqlite3.connect(settings.prediction_log) as connection:
        rows = connection.execute("SELECT idempotency_key, count(*) FROM predictions GROUP BY 1").fetchall()
    connection.close()
    return dict(rows)


def kill_under_load(settings: Settings, *, num_kills: int, command: list[str] | None = None) -> Ledger:
    """Load all the time, the whole service killed again and again; in the end it answers once more."""
    ledger = Ledger()
    for _ in range(num_kills):
        service = start_service(settings, command=command)
        with Load(settings) as load:
            wait_until(lambda load=load: len(load.ledger.acknowledged) > 200, timeout=30, what="answers")  # type: ignore[misc]
            service.process.kill()
        ledger.acknowledged |= load.ledger.acknowledged
    return ledger


def test_every_acknowledged_prediction_survives_kill_9_exactly_once(settings: Settings) -> None:
    ledger = kill_under_load(settings, num_kills=2)

    rows = rows_by_key(settings)
    assert len(ledger.acknowledged) > 400
    assert [key for key in ledger.acknowledged if rows.get(key) != 1] == []
    assert max(rows.values()) == 1
    with running_service(settings) as service, service.client() as client:
        key, answer = list(ledger.acknowledged.items())[-1]
        again = client.post("/predict", json=REQUEST, headers={"Idempotency-Key": key}).json()
        assert again == answer


def test_a_service_that_acknowledges_before_it_writes_is_found_out(settings: Settings) -> None:
    command = launch.command(settings, FLIGHT_DELAY.name)
    command[command.index("serve") + 1] = "tests.serving.ack_first:FlightDelay"

    ledger = kill_under_load(settings, num_kills=1, command=command)

    rows = rows_by_key(settings)
    assert [key for key in ledger.acknowledged if key not in rows] != []


@contextmanager
def silent_registry(settings: Settings) -> Iterator[None]:
    """Accepts connections and never answers."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.bind, settings.mlflow_port))
        listener.listen()
        yield


def test_a_registry_that_is_silent_at_the_start_does_not_keep_the_service_from_serving(settings: Settings) -> None:
    with silent_registry(settings), running_service(settings) as service, service.client() as client:
        assert client.post("/predict", json=REQUEST).json()["model_version"] == "7"


def test_a_kept_model_that_was_altered_is_not_served(settings: Settings) -> None:
    (model,) = (settings.root / "serving" / FLIGHT_DELAY.name).glob("*/model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")

    with running_service(settings, ready=False) as service, service.client() as client:
        assert client.get("/readyz").status_code == 503
        assert client.post("/predict", json=REQUEST).status_code == 503
        assert service.info()["model_version"] is None


def test_a_port_that_is_taken_is_a_sentence(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind((settings.bind, settings.serving_port))
        listener.listen()
        with pytest.raises(AssertionError, match="the service ended"):
            start_service(settings)

    log = (settings.root / "service.log").read_text()
    assert "set FLYWHEEL_SERVING_PORT" in log
    assert "Traceback" not in log
