"""A registry that answers with nothing makes no sense, and is no crash."""

import pytest

from serving.errors import RegistryUnavailable
from serving.registry import Registry
from tests.answering import answering


def registry_at(url: str) -> Registry:
    return Registry(url, user="reader", password="secret")


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"model_version": null}'])
def test_an_answer_without_a_version_is_a_registry_that_is_away(body: str) -> None:
    with answering(200, body) as url, registry_at(url) as registry:
        with pytest.raises(RegistryUnavailable):
            registry.version_by_alias("flight_delay", "champion")
        with pytest.raises(RegistryUnavailable):
            registry.version("flight_delay", "1")


def test_an_answer_without_a_run_is_no_run() -> None:
    with answering(200, "{}") as url, registry_at(url) as registry:
        assert registry.run("run") is None
