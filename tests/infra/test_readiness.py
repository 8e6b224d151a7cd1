"""A server is ready when it answers as it should itself, and what it lacks is said otherwise."""

import socket
from pathlib import Path

import pytest

from infra.local.airflow import AirflowClient
from infra.local.readiness import answers, readiness
from infra.settings import Settings
from tests.answering import answering

NOW = 0.0


def test_what_it_should_say_is_ready() -> None:
    with answering(200, "OK\n") as url:
        assert answers(f"{url}/health", begins_with="OK")(NOW) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [(403, "OK"), (200, "<html>"), (404, ""), (503, "not yet")],
    ids=["refused", "something else listens", "another server", "not yet"],
)
def test_any_other_answer_is_not_and_is_named(status: int, body: str) -> None:
    with answering(status, body) as url:
        lack = answers(f"{url}/health", begins_with="OK")(NOW)

    assert lack == f"GET {url}/health: {status} {body!r} instead of 200 'OK'"


def test_a_proxy_that_answers_for_a_server_that_is_not_there_is_not_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with answering(200, "OK") as proxy:
        monkeypatch.setenv("http_proxy", proxy)

        assert answers(url, begins_with="OK")(NOW) == f"GET {url}: ConnectError [Errno 111] Connection refused"


def test_each_process_of_airflow_says_what_it_lacks_while_the_api_server_refuses(tmp_path: Path) -> None:
    with answering(403, "no") as url:
        settings = Settings(data_dir=tmp_path, airflow_port=int(url.rpartition(":")[2]))
        settings.make_secrets()
        checks = readiness(settings, AirflowClient(settings))

        for name in ("api-server", "scheduler", "dag-processor"):
            lack = checks[name](NOW)
            assert lack is not None
            assert "403" in lack, f"{name}: {lack}"
