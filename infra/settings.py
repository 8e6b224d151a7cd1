"""The only reader of the environment: every address, folder, port and secret of an installation.

A setting is an address with an embedded default; the address decides what runs. Secrets have no default: they are
files under `<data_dir>/secrets`, made at first start with mode 0600.
"""

import base64
import os
import secrets
from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.clock import Clock, clock_at
from infra.libraries import asked_directly
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


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FLYWHEEL_", env_ignore_empty=True, frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("var"), description="folder of all state")
    clock: str = Field(default="system", description="'system' or 'file:PATH' of a replay clock")
    bind: str = Field(default="127.0.0.1", description="address that every server binds")
    serving_port: int = Field(default=3000, description="prediction service of the first use case; the next adds 1")
    mlflow_port: int = Field(default=5000, description="MLflow server")
    airflow_port: int = Field(default=8080, description="Airflow API server and UI")
    monitoring_port: int = Field(default=9100, description="monitoring page and metrics")
    durability: str = Field(
        default="write",
        pattern="^(write|fsync)$",
        description="'write': an answer is in the operating system's hands before it is sent, on disk within 50 ms; "
        "'fsync': on disk before it is sent",
    )
    chaos: str = Field(default="", description="tests only: the named point at which a process kills itself, as -9")

    @cached_property
    def root(self) -> Path:
        """The data folder, absolute, so that every process resolves it alike."""
        return self.data_dir.absolute()

    @property
    def control_database(self) -> Path:
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
        os.environ.update(asked_directly(self.bind), MLFLOW_TRACKING_URI=self.mlflow_url)
        os.environ["MLFLOW_TRACKING_USERNAME"] = user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = self.secret(secret)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "3"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "20"
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

    def use_feature_store(self) -> None:
        """Tell Feast, which fills `feature_store.yaml` from the environment alone, where everything is."""
        os.environ.update(self.feast_variables)

    @property
    def feast_variables(self) -> dict[str, str]:
        """The variables of `feature_store.yaml`, each as one value of YAML."""
        return {
            "FLYWHEEL_FEAST_REGISTRY": yaml_scalar(sqlalchemy_url(self.feature_registry)),
            "FLYWHEEL_FEAST_DATA_DIR": yaml_scalar(str(self.root)),
            "FLYWHEEL_FEAST_ONLINE_STORE": yaml_scalar(str(self.online_store)),
        }

    def make_clock(self) -> Clock:
        return clock_at(self.clock)

    def secret(self, name: str) -> str:
        """A secret's text. Raises FileNotFoundError, with what to run, if the installation was never set up."""
        path = self.root / "secrets" / name
        try:
            return path.read_text()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"no secret {name} in {path.parent}; run `make setup` first") from error

    def make_secrets(self) -> None:
        """Make every secret that does not exist yet; one that exists is never changed."""
        folder = self.root / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in SECRET_NAMES:
            # A Fernet key is 32 bytes by definition; a key for HMAC-SHA512 should have 64 characters.
            num_bytes = 32 if name == "airflow_fernet" else 48
            write_secret(folder / name, base64.urlsafe_b64encode(secrets.token_bytes(num_bytes)))


def write_secret(path: Path, value: bytes) -> None:
    """Write with mode 0600 from the start; leave an existing file alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(value)


def let_waiting_threads_sleep() -> None:
    """For a process whose threads wait for each other: they leave the core meanwhile. Call before importing torch."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def child_environment(settings: Settings, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process: this one's, and every setting, with its paths made absolute."""
    values = {name: str(getattr(settings, name)) for name in Settings.model_fields}
    values["data_dir"] = str(settings.root)
    if settings.clock.startswith("file:"):
        values["clock"] = f"file:{Path(settings.clock.removeprefix('file:')).absolute()}"
    own = {f"FLYWHEEL_{name.upper()}": value for name, value in values.items()}
    return {**os.environ, **asked_directly(settings.bind), **own, **settings.feast_variables, **(extra or {})}
