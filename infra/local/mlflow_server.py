"""The MLflow server of one machine: SQLite, artifacts in the data folder, users with passwords.

`python -m infra.local.mlflow_server` becomes the server; with `set-up` it makes the server's databases and ends. The
job runner, which needs most of the memory, stays off.
"""

import configparser
import io
import os
import sys
from pathlib import Path

from infra.settings import Settings, child_environment, write_secret

ADMIN, READER = "flywheel", "reader"


def folder(settings: Settings) -> Path:
    return settings.root / "mlflow"


def auth_file(settings: Settings) -> Path:
    return settings.root / "secrets" / "mlflow_auth.ini"


def command(settings: Settings) -> list[str]:
    place = folder(settings)
    return [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"),
        *("--host", settings.bind, "--port", str(settings.mlflow_port)),
        *("--backend-store-uri", f"sqlite:///{place}/mlflow.db"),
        *("--serve-artifacts", "--artifacts-destination", f"{place}/artifacts"),
        *("--default-artifact-root", "mlflow-artifacts:/"),
    ]


def environment(settings: Settings) -> dict[str, str]:
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(auth_file(settings)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secret("mlflow_flask_key"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return child_environment(settings, own)


def set_up(settings: Settings) -> None:
    """Make the databases and both users, so that the first start of the server is as quick as any other."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore as Users
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    place = folder(settings)
    (place / "artifacts").mkdir(parents=True, exist_ok=True)
    Runs(f"sqlite:///{place}/mlflow.db", "mlflow-artifacts:/")  # type: ignore[no-untyped-call]
    users = Users()
    users.init_db(f"sqlite:///{place}/users.db")  # type: ignore[no-untyped-call]
    for name, secret, is_admin in ((ADMIN, "mlflow_password", True), (READER, "mlflow_reader_password", False)):
        if not users.has_user(name):
            users.create_user(name, settings.secret(secret), is_admin=is_admin)
    for database in place.glob("*.db"):
        database.chmod(0o600)
    write_secret(auth_file(settings), auth_configuration(place).encode())


def auth_configuration(place: Path) -> str:
    """A user who was given nothing may read. No password stands here: both users exist before the server starts."""
    configuration = configparser.ConfigParser()
    configuration["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{place}/users.db".replace("%", "%%"),
        "admin_username": ADMIN,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # A password is checked against its slow hash once a minute, not at each of the thousands of requests.
        "auth_cache_ttl_seconds": "60",
    }
    text = io.StringIO()
    configuration.write(text)
    return text.getvalue()


def main() -> None:
    settings = Settings()
    if not auth_file(settings).exists():
        sys.exit(f"{auth_file(settings)} does not exist; run `make setup` first")
    arguments = command(settings)
    os.execve(arguments[0], arguments, environment(settings))  # noqa: S606


if __name__ == "__main__":
    if sys.argv[1:] == ["set-up"]:
        set_up(Settings())
    else:
        main()
