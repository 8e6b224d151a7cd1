"""The MLflow server of one machine: SQLite, artifacts in the data folder, users with passwords.

`python -m infra.local.mlflow_server` becomes the server; with `set-up` it makes the server's databases and ends. Both
work in the server's own folder and name its files by relative paths, so that the folder may be moved and have any name.
The job runner, which needs most of the memory, stays off.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.settings import SettingError, Settings, child_environment

ADMIN, READER = "flywheel", "reader"
RUNS, USERS, ARTIFACTS = "mlflow.db", "users.db", "artifacts"
AUTHENTICATION = Path(__file__).with_name("mlflow_auth.ini")


def folder(settings: Settings) -> Path:
    return settings.root / "mlflow"


def databases(settings: Settings) -> list[Path]:
    return [folder(settings) / name for name in (RUNS, USERS)]


def command(settings: Settings) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"),
        *("--host", settings.bind, "--port", str(settings.mlflow_port)),
        *("--backend-store-uri", f"sqlite:///{RUNS}"),
        *("--serve-artifacts", "--artifacts-destination", ARTIFACTS),
        *("--default-artifact-root", "mlflow-artifacts:/"),
    ]


def environment(settings: Settings) -> dict[str, str]:
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(AUTHENTICATION),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secret("mlflow_flask_key"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONSAFEPATH": "1",  # no module is looked for in the folder of artifacts
    }
    return child_environment(settings, own)


def set_up(settings: Settings) -> None:
    """Make the databases and both users, so that the first start of the server is as quick as any other.

    For a process of its own, which then works in the server's folder.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore as Users
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    place = folder(settings)
    (place / ARTIFACTS).mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    with made_whole(RUNS) as name:
        Runs(f"sqlite:///{name}", "mlflow-artifacts:/")  # type: ignore[no-untyped-call]
    with made_whole(USERS) as name:
        users = Users()
        users.init_db(f"sqlite:///{name}")  # type: ignore[no-untyped-call]
        for user, secret, is_admin in ((ADMIN, "mlflow_password", True), (READER, "mlflow_reader_password", False)):
            if not users.has_user(user):
                users.create_user(user, settings.secret(secret), is_admin=is_admin)


@contextmanager
def made_whole(name: str) -> Iterator[str]:
    """The name under which to make a database: its own if it is there, else another until it is complete.

    MLflow makes tables one by one, and what a killed set-up leaves half made it never completes.
    """
    unfinished = Path(f"{name}.unfinished")
    unfinished.unlink(missing_ok=True)
    there = Path(name).exists()
    yield name if there else str(unfinished)
    if not there:
        unfinished.chmod(0o600)
        unfinished.rename(name)


def main() -> None:
    try:
        settings = Settings()
    except SettingError as error:
        sys.exit(str(error))
    missing = [str(database) for database in databases(settings) if not database.exists()]
    if missing:
        sys.exit(f"{', '.join(missing)} not there; run `make setup` first")
    arguments, variables = command(settings), environment(settings)
    os.chdir(folder(settings))
    os.execve(arguments[0], arguments, variables)  # noqa: S606


if __name__ == "__main__":
    if sys.argv[1:] == ["set-up"]:
        set_up(Settings())
    else:
        main()
