"""A registry that answers with nothing makes no sense, and is no crash."""

import pytest

from serving.errors import RegistryUnavailable
from serving.registry import Registry
from tests.serving.saying import saying


def registry_at(port: int) -> Registry:
    return Registry(f"http://127.0.0.1:{port}", user="reader", password="secret")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"model_version": null}'])
def test_an_answer_without_a_version_is_a_registry_that_is_away(body: bytes) -> None:
    with saying(body) as port, registry_at(port) as registry:
        with pytest.raises(RegistryUnavailable):
            registry.version_by_alias("flight_delay", "champion")
        with pytest.raises(RegistryUnavailable):
            registry.version("flight_delay", "1")


def test_an_answer_without_a_run_is_no_run() -> None:
    with saying(b"{}") as port, registry_at(port) as registry:
        assert registry.run("run") is None
