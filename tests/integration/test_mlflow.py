"""A real MLflow server as the installation starts it: who gets in, and who may do what."""

from collections.abc import Iterator

import httpx
import pytest

from infra.local import mlflow_server
from infra.local.processes import Supervisor, commands
from infra.local.readiness import answers
from infra.local.setup import run_python
from infra.settings import SECRET_NAMES, Settings
from tests.integration.tiny import free_port

SEARCH = "/api/2.0/mlflow/experiments/search"
STOCK = [("admin", "password1234"), ("admin", "admin"), ("admin", ""), ("flywheel", "password1234"), ("flywheel", "")]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    made = Settings(data_dir=tmp_path_factory.mktemp("mlflow"), mlflow_port=free_port())
    made.make_secrets()
    (made.root / "mlflow").mkdir()
    (made.root / "mlflow" / "users.db.unfinished").write_bytes(b"what a killed set-up leaves")
    run_python(made, "infra.local.mlflow_server", "set-up")
    ready = {"mlflow": answers(f"{made.mlflow_url}/health", begins_with="OK")}
    with Supervisor(settings=made, commands=commands(), readiness=ready) as supervisor:
        supervisor.start("mlflow")
        supervisor.wait(timeout_seconds=120)
        yield made


def search(settings: Settings, *who: str) -> int:
    client = httpx.Client(auth=httpx.BasicAuth(*who) if who else None)
    with client:
        return client.post(f"{settings.mlflow_url}{SEARCH}", json={"max_results": 1}).status_code


def test_both_users_get_in_with_the_passwords_of_the_installation(settings: Settings) -> None:
    assert search(settings, mlflow_server.ADMIN, settings.secret("mlflow_password")) == httpx.codes.OK
    assert search(settings, mlflow_server.READER, settings.secret("mlflow_reader_password")) == httpx.codes.OK


@pytest.mark.parametrize("who", [(), *STOCK], ids=lambda who: "-".join(who) or "nobody")
def test_nobody_gets_in_without_or_with_a_stock_password(settings: Settings, who: tuple[str, ...]) -> None:
    assert search(settings, *who) == httpx.codes.UNAUTHORIZED


def test_the_reader_may_not_change_an_alias(settings: Settings) -> None:
    admin = httpx.BasicAuth(mlflow_server.ADMIN, settings.secret("mlflow_password"))
    reader = httpx.BasicAuth(mlflow_server.READER, settings.secret("mlflow_reader_password"))
    models = f"{settings.mlflow_url}/api/2.0/mlflow/registered-models"
    alias = {"name": "tiny", "alias": "champion", "version": "1"}
    assert httpx.post(f"{models}/create", json={"name": "tiny"}, auth=admin).is_success

    assert httpx.get(f"{models}/get", params={"name": "tiny"}, auth=reader).is_success
    assert httpx.post(f"{models}/alias", json=alias, auth=reader).status_code == httpx.codes.FORBIDDEN


def test_no_secret_is_in_the_servers_log(settings: Settings) -> None:
    log = (settings.root / "logs" / "mlflow.log").read_text()

    assert "Uvicorn running" in log, "this is the log"
    assert [name for name in SECRET_NAMES if settings.secret(name) in log] == []
