"""The only reader of the environment: every address, folder, port and secret of an installation.

A setting is an address with an embedded default; the address decides what runs. Secrets have no default: they are
files under `<data_dir>/secrets`, made at first start with mode 0600.
"""

import base64
import os
import secrets
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.clock import Clock, clock_at
from infra.libraries import NO_REPORTS, asked_directly
from infra.quoting import http_url, sqlalchemy_url, yaml_scalar

SECRET_NAMES = (
    "serving_api_key",
    "monitoring_token",
    "mlflow_password",
    "mlflow_reader_password",
    "mlflow_flask_key",
    "airflow_password",
    "airflow_jwt",
    "airflow_fernet",
    "airflow_session_key",
)


SHORTEST_SECRET = 16
# What a user has set for servers and tools of their own: ours are told everything that they need.
FOREIGN = ("MLFLOW_", "_MLFLOW_", "AIRFLOW_", "_AIRFLOW_", "BENTOML_", "FEAST_", "FEATURE_STORE_", "PROMETHEUS_")


Port = Annotated[int, Field(ge=1, le=65_535)]


class SettingError(ValueError):
    """A setting has a value that it cannot have."""


class Settings(BaseSettings):
    """Raises SettingError, with each variable, its value and what was expected."""

    model_config = SettingsConfigDict(env_prefix="FLYWHEEL_", env_ignore_empty=True, frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("var"), description="folder of all state")
    clock: str = Field(
        default="",
        description="'system' or 'file:PATH' of a replay clock; unset, the data folder's file `clock` if it has one",
    )
    bind: str = Field(default="127.0.0.1", description="address that every server binds")
    serving_port: Port = Field(
        default=3000, description="prediction services: to it each use case adds its port_offset"
    )
    mlflow_port: Port = Field(default=5000, description="MLflow server")
    airflow_port: Port = Field(default=8080, description="Airflow API server and UI")
    monitoring_port: Port = Field(default=9100, description="monitoring page and metrics")
    durability: Literal["write", "fsync"] = Field(
        default="write",
        description="'write': an answer is in the operating system's hands before it is sent, on disk within 50 ms; "
        "'fsync': on disk before it is sent",
    )
    chaos: str = Field(default="", description="tests only: the named point at which a process kills itself, as -9")

    def __init__(self, **values: Any) -> None:  # noqa: ANN401  pydantic's own
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingError("; ".join(map(problem_of, error.errors()))) from None

    @cached_property
    def root(self) -> Path:
        """The data folder itself, so that every process finds the same one whatever becomes of a link to it."""
        return self.data_dir.resolve()

    @property
    def clock_address(self) -> str:
        """A folder in which time was replayed goes on in that time: by the system's it would be years behind."""
        own = self.root / "clock"
        return self.clock or (f"file:{own}" if own.exists() else "system")

    @property
    def database(self) -> str:
        """The address of what the layers share; see `infra.database`."""
        return sqlalchemy_url(self.database_file)

    @property
    def database_file(self) -> Path:
        return self.root / "control.db"

    @property
    def prediction_log(self) -> Path:
        return self.root / "predictions.db"

    @property
    def online_store(self) -> Path:
        return self.root / "online_store.db"

    @property
    def feature_registry(self) -> Path:
        """Made of the contracts alone; a `registry.db` of earlier versions names folders and is not opened."""
        return self.root / "feature_registry.db"

    def url(self, port: int) -> str:
        """Of a server of this installation."""
        return http_url(self.bind, port)

    @property
    def mlflow_url(self) -> str:
        return self.url(self.mlflow_port)

    @property
    def airflow_url(self) -> str:
        return self.url(self.airflow_port)

    def use_mlflow(self, *, user: str = "flywheel", secret: str = "mlflow_password") -> None:  # noqa: S107
        """Hand this process's MLflow client its server and credentials, which it reads from the environment alone."""
        for name in os.environ.keys() - own_environment(("MLFLOW_", "_MLFLOW_")).keys():
            del os.environ[name]
        os.environ.update(asked_directly(self.bind), MLFLOW_TRACKING_URI=self.mlflow_url)
        os.environ["MLFLOW_TRACKING_USERNAME"] = user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = self.secret(secret)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "3"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "20"
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

    def use_feature_store(self, registry: Path | None = None) -> None:
        """Tell Feast, which fills `feature_store.yaml` from the environment alone, where everything is.

        `registry` is another than the installation's own, while it is being made.
        """
        os.environ.update(self.feast_variables)
        if registry is not None:
            os.environ["FLYWHEEL_FEAST_REGISTRY"] = yaml_scalar(sqlalchemy_url(registry))

    @property
    def feast_variables(self) -> dict[str, str]:
        """The variables of `feature_store.yaml`, each as one value of YAML."""
        return {
            "FLYWHEEL_FEAST_REGISTRY": yaml_scalar(sqlalchemy_url(self.feature_registry)),
            "FLYWHEEL_FEAST_ONLINE_STORE": yaml_scalar(str(self.online_store)),
        }

    def make_clock(self) -> Clock:
        return clock_at(self.clock_address)

    def secret(self, name: str) -> str:
        """A secret's text. Raises FileNotFoundError, with what to run, if the installation was never set up.

        Raises ValueError for one that anybody could guess: a file that was cut off is no secret.
        """
        path = self.root / "secrets" / name
        try:
            text = path.read_text()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"no secret {name} in {path.parent}; run `make setup` first") from error
        if len(text) < SHORTEST_SECRET:
            raise ValueError(
                f"{path} has {len(text)} characters, at least {SHORTEST_SECRET} were written: bring it back"
            )
        return text

    def make_secrets(self) -> None:
        """Make every secret that does not exist yet; one that exists is never changed."""
        folder = self.root / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in SECRET_NAMES:
            # A Fernet key is 32 bytes by definition; a key for HMAC-SHA512 should have 64 characters.
            num_bytes = 32 if name == "airflow_fernet" else 48
            write_secret(folder / name, base64.urlsafe_b64encode(secrets.token_bytes(num_bytes)))


def problem_of(error: ErrorDetails) -> str:
    variable = f"FLYWHEEL_{error['loc'][0]}".upper()
    expected = error["msg"].removeprefix("Input should be ").partition(",")[0]
    return f"{variable} is {error['input']!r}, expected {expected}; correct it or unset it"


def write_secret(path: Path, value: bytes) -> None:
    """Write with mode 0600 from the start, whole or not at all; leave an existing file alone."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:  # its mode is 0600
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def own_environment(foreign: tuple[str, ...] = FOREIGN) -> dict[str, str]:
    """This process's environment without what a user has set for libraries that ours are too."""
    return {name: value for name, value in os.environ.items() if name in NO_REPORTS or not name.startswith(foreign)}


def let_waiting_threads_sleep() -> None:
    """For a process whose threads wait for each other: they leave the core meanwhile. Call before importing torch."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def child_environment(settings: Settings, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process: this one's, and every setting, with its paths made absolute."""
    values = {name: str(getattr(settings, name)) for name in Settings.model_fields}
    values["data_dir"] = str(settings.root)
    values["clock"] = settings.clock_address
    if settings.clock_address.startswith("file:"):
        values["clock"] = f"file:{Path(settings.clock_address.removeprefix('file:')).absolute()}"
    own = {f"FLYWHEEL_{name.upper()}": value for name, value in values.items()}
    return {**own_environment(), **asked_directly(settings.bind), **own, **settings.feast_variables, **(extra or {})}
