"""A real installation for tests: secrets, keys, an MLflow server, a Feast-written store, and the service itself."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.clock import ReplayClock
from infra.database import migrate
from infra.local import keys
from infra.local.setup import run_python
from infra.settings import Settings, child_environment
from serving import launch
from tests.serving.packages import Package

REPOSITORY = Path(__file__).parent.parent.parent
NOW = datetime(2013, 7, 1, 12, 10, tzinfo=UTC)

REQUEST = {
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "destination": "IAH",
    "tail_number": "N14228",
    "scheduled_departure": "2013-07-01T14:15:00+00:00",
    "scheduled_arrival": "2013-07-01T18:19:00Z",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(claim: Callable[[], bool], *, timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def make_settings(folder: Path, *, mlflow_port: int | None = None, durability: str = "write") -> Settings:
    """A folder set up as `make setup` does it, with a replay clock at NOW."""
    clock = folder / "clock"
    settings = Settings(
        data_dir=folder,
        clock=f"file:{clock}",
        serving_port=free_port(),
        mlflow_port=mlflow_port or free_port(),
        durability=durability,
    )
    settings.make_secrets()
    keys.make_model_keys(settings.root / "secrets")
    migrate(settings.database)
    ReplayClock(clock).advance(NOW)
    return settings


@dataclass
class Process:
    """A process of a command of ours, in a session of its own, so that all of it can be ended."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
            )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """It and all that it started, as a machine's end would: BentoML's workers have sessions of their own."""
        if self.process.poll() is None:
            process = psutil.Process(self.process.pid)
            process.suspend()  # so that it starts no other meanwhile
            for one in (*process.children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        finally:
            self.kill()


@contextmanager
def running_mlflow(settings: Settings) -> Iterator[Process]:
    run_python(settings, "infra.local.mlflow_server", "set-up")
    server = start_mlflow(settings)
    try:
        yield server
    finally:
        server.kill()


def start_mlflow(settings: Settings) -> Process:
    command = [sys.executable, "-m", "infra.local.mlflow_server"]
    server = Process(command, child_environment(settings), settings.root / "mlflow.log")
    wait_until(lambda: answers(f"{settings.mlflow_url}/health"), timeout=180, what="MLflow is ready")
    return server


@dataclass
class Service:
    settings: Settings
    process: Process

    @property
    def url(self) -> str:
        return f"http://{self.settings.bind}:{self.settings.serving_port}"

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.settings.secret('serving_api_key')}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=10)

    def info(self) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.get("/info").json())

    def wait_for_version(self, version: str | None, *, timeout: float = 15) -> None:
        what = f"the service serves version {version}"
        wait_until(lambda: self.info()["model_version"] == version, timeout=timeout, what=what)


def start_service(settings: Settings, *, ready: bool = True, command: list[str] | None = None) -> Service:
    command = command or [sys.executable, "-m", "serving", "run", FLIGHT_DELAY.name]
    process = Process(command, launch.environment(settings), settings.root / "service.log")
    service = Service(settings, process)
    path = "/readyz" if ready else "/livez"
    try:
        wait_until(lambda: process.has_ended() or answers(service.url + path), timeout=60, what=f"{path} answers")
        assert not process.has_ended(), "the service ended"
    except AssertionError:
        process.kill()
        print(process.log.read_text()[-4000:])
        raise
    return service


@contextmanager
def running_service(settings: Settings, *, ready: bool = True) -> Iterator[Service]:
    service = start_service(settings, ready=ready)
    try:
        yield service
    finally:
        service.process.end()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Registrar:
    """Does to the registry what training does: a run with a package, a registered version, aliases, tags."""

    def __init__(self, settings: Settings, model: str = FLIGHT_DELAY.name) -> None:
        self.client = httpx.Client(
            base_url=settings.mlflow_url, auth=("flywheel", settings.secret("mlflow_password")), trust_env=False
        )
        self.model = model

    def call(self, path: str, **fields: object) -> dict[str, Any]:
        response = self.client.post(f"/api/2.0/mlflow/{path}", json=fields)
        response.raise_for_status()
        return dict(response.json())

    def delete_model(self) -> None:
        self.client.request("DELETE", "/api/2.0/mlflow/registered-models/delete", json={"name": self.model})

    def start_run(self) -> str:
        return str(self.call("runs/create", experiment_id="0", start_time=0)["run"]["info"]["run_id"])

    def upload(self, run_id: str, package: Package) -> None:
        for name, raw in (
            ("model.onnx", package.model),
            ("manifest.json", package.manifest),
            ("manifest.sig", package.signature),
        ):
            if raw:
                path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/package/{name}"
                self.client.put(path, content=raw).raise_for_status()

    def register(self, make_package: Callable[[str], Package], **tags: str) -> str:
        """The new version's number; `make_package` gets the run's id."""
        run_id = self.start_run()
        self.upload(run_id, make_package(run_id))
        response = self.client.post("/api/2.0/mlflow/registered-models/create", json={"name": self.model})
        assert response.status_code == 200 or "RESOURCE_ALREADY_EXISTS" in response.text, response.text
        version = self.call("model-versions/create", name=self.model, source=f"runs:/{run_id}/package", run_id=run_id)[
            "model_version"
        ]["version"]
        for key, value in tags.items():
            self.call("model-versions/set-tag", name=self.model, version=version, key=key, value=value)
        return str(version)

    def set_alias(self, alias: str, version: str) -> None:
        self.call("registered-models/alias", name=self.model, alias=alias, version=version)

    def tags(self, version: str) -> dict[str, str]:
        answer = self.client.get(
            "/api/2.0/mlflow/model-versions/get", params={"name": self.model, "version": version}
        ).json()
        return {tag["key"]: tag["value"] for tag in answer["model_version"].get("tags", [])}
