"""MLflow's registry over REST, with a bound on the time and the size of everything that comes back.

MLflow's own client retries for minutes in silence and loads what it finds; a service must know within seconds, and
must never parse a file that was not verified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from infra.settings import Settings
from serving.errors import PackageRefused, RegistryUnavailable

TIMEOUT = httpx.Timeout(5.0, connect=1.0)
MAX_ANSWER_BYTES = 4 * 1024 * 1024
API = "/api/2.0/mlflow"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A registered version, as far as a reader cares."""

    name: str
    version: str
    run_id: str
    created_at_milliseconds: int
    tags: Mapping[str, str]


class Registry:
    """Read as user `reader`; `release` alone writes, as user `flywheel`. Safe to use from one thread at a time."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.client = httpx.Client(base_url=url, auth=(user, password), timeout=TIMEOUT, trust_env=False)

    @classmethod
    def of(cls, settings: Settings, *, user: str = "reader", secret: str = "mlflow_reader_password") -> Self:  # noqa: S107
        return cls(settings.mlflow_url, user=user, password=settings.secret(secret))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client.close()

    def version_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """None if the model or its alias does not exist."""
        return parse_version(self.get(f"{API}/registered-models/alias", name=name, alias=alias))

    def version(self, name: str, version: str) -> ModelVersion | None:
        return parse_version(self.get(f"{API}/model-versions/get", name=name, version=version))

    def run(self, run_id: str) -> Mapping[str, Any] | None:
        answer = self.get(f"{API}/runs/get", run_id=run_id)
        return None if answer is None else answer.get("run")

    def artifact(self, run_id: str, path: str, *, max_bytes: int) -> bytes:
        """Raises PackageRefused if there is no such file or it is longer than `max_bytes`."""
        try:
            with self.client.stream("GET", "/get-artifact", params={"run_uuid": run_id, "path": path}) as response:
                raw = read_at_most(response, max_bytes)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"the registry broke off sending {path}: {describe(error)}") from error
        if response.status_code == httpx.codes.OK:
            if raw is None:
                raise PackageRefused(f"{path} is longer than {max_bytes} bytes")
            return raw
        if is_missing(response.status_code, raw or b""):
            raise PackageRefused(f"{path} is missing from run {run_id}")
        raise RegistryUnavailable(f"the registry answered {response.status_code} for {path}")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.post(f"{API}/registered-models/alias", name=name, alias=alias, version=version)

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.post(f"{API}/model-versions/set-tag", name=name, version=version, key=key, value=value)

    def get(self, path: str, **parameters: str) -> dict[str, Any] | None:
        try:
            with self.client.stream("GET", path, params=parameters) as response:
                raw = read_at_most(response, MAX_ANSWER_BYTES)
            if response.status_code == httpx.codes.OK and raw is not None:
                return dict(httpx.Response(200, content=raw).json())
        except (httpx.HTTPError, TypeError, ValueError) as error:
            raise RegistryUnavailable(f"the registry did not answer {path}: {describe(error)}") from error
        if raw is not None and is_missing(response.status_code, raw):
            return None
        raise RegistryUnavailable(f"the registry answered {response.status_code} for {path}")

    def post(self, path: str, **fields: str) -> None:
        try:
            response = self.client.post(path, json=fields)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"the registry did not answer {path}: {describe(error)}") from error
        if response.status_code != httpx.codes.OK:
            raise RegistryUnavailable(f"the registry answered {response.status_code} for {path}: {response.text[:200]}")


def describe(error: Exception) -> str:
    """httpx's timeouts have no text of their own."""
    return str(error) or type(error).__name__


def is_missing(status: int, raw: bytes) -> bool:
    """MLflow says that an alias does not exist with 400, and that a file does not with 404 or 500."""
    return status == httpx.codes.NOT_FOUND or b"RESOURCE_DOES_NOT_EXIST" in raw or (b"alias" in raw and status == 400)


def read_at_most(response: httpx.Response, max_bytes: int) -> bytes | None:
    """The body, or None as soon as it is longer."""
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > max_bytes:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def parse_version(answer: dict[str, Any] | None) -> ModelVersion | None:
    if answer is None:
        return None
    try:
        fields = answer["model_version"]
        version = str(fields["version"])
        if not version.isascii() or not version.isdigit():
            raise ValueError(f"version is {version!r}")
        return ModelVersion(
            name=str(fields["name"]),
            version=version,
            run_id=str(fields.get("run_id", "")),
            created_at_milliseconds=int(fields.get("creation_timestamp", 0)),
            tags={str(tag["key"]): str(tag["value"]) for tag in fields.get("tags", [])},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryUnavailable(f"the registry's answer makes no sense: {error}") from error
