"""A registry that answers with nothing makes no sense, and is no crash."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from serving.errors import RegistryUnavailable
from serving.registry import Registry


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with what the server was given."""

    server: "Saying"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


class Saying(ThreadingHTTPServer):
    daemon_threads = True
    body = b""


@pytest.fixture
def server() -> Iterator[Saying]:
    with Saying(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"model_version": null}'])
def test_an_answer_without_a_version_is_a_registry_that_is_away(server: Saying, body: bytes) -> None:
    server.body = body
    with Registry(f"http://127.0.0.1:{server.server_port}", user="reader", password="secret") as registry:
        with pytest.raises(RegistryUnavailable):
            registry.version_by_alias("flight_delay", "champion")
        with pytest.raises(RegistryUnavailable):
            registry.version("flight_delay", "1")


def test_an_answer_without_a_run_is_no_run(server: Saying) -> None:
    server.body = b"{}"
    with Registry(f"http://127.0.0.1:{server.server_port}", user="reader", password="secret") as registry:
        assert registry.run("run") is None
