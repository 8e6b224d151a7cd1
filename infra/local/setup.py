"""Makes an installation: secrets, keys, databases, feature registry. Run again, it changes nothing that exists.

No password is ever printed or has a default: each is made here, in a file that only its owner reads.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from feature_repo.contracts import USE_CASES, prediction_log
from infra.database import DatabaseError, migrate, require_migratable
from infra.lake import Lake
from infra.local import airflow_server, keys, mlflow_server
from infra.local.errors import InstallationError
from infra.local.ports import require_distinct_ports
from infra.one_shot import sentence_of
from infra.settings import SECRET_NAMES, SettingError, Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "infra" / "locks" / "all.txt"
MINIMUM_FREE_BYTES = 2 * 1024**3
UNUSABLE = ("Cc", "Cs", "Cn", "Zl", "Zp")  # categories of Unicode: control, surrogate, unassigned, ends of a line
LONGEST_PATH = 440
STAMP = "set-up-for"
VARIABLE = re.compile(r"\$(\w|\{)")


def require_space(settings: Settings, minimum_bytes: int = MINIMUM_FREE_BYTES) -> None:
    """Raises InstallationError if the disk is nearly full: better now than in the middle of a write."""
    free = shutil.disk_usage(settings.root).free
    if free < minimum_bytes:
        raise InstallationError(
            f"{free / 1024**2:.0f} MiB are free under {settings.root}, {minimum_bytes / 1024**2:.0f} MiB are "
            "needed; make room, or set FLYWHEEL_DATA_DIR to a folder on another disk"
        )


def require_usable_name(path: Path) -> None:
    """Raises InstallationError for a path that some part of an installation would read as another one."""
    text, why = str(path), None
    if any(unicodedata.category(character) in UNUSABLE for character in text):
        why = "has a control character, ends a line or is not UTF-8"
    elif VARIABLE.search(text):
        why = "names a variable, which Airflow would replace"
    elif "\\" in text:
        why = "has a backslash, at which DuckDB divides a path"
    elif len(os.fsencode(text)) > LONGEST_PATH:
        why = f"is longer than {LONGEST_PATH} bytes, and SQLite ends at 512"
    if why:
        raise InstallationError(f"{text!r} {why}; give that folder another name")


def make_root(settings: Settings) -> None:
    for folder in (ROOT, settings.root):
        require_usable_name(folder)
    try:
        Lake(settings.root, settings.database)
    except ValueError as error:
        raise InstallationError(str(error)) from error
    if "%" in sys.prefix:
        raise InstallationError(f"{sys.prefix!r} has a %, which MLflow replaces in its own path; rename the checkout")
    if str(settings.data_dir).startswith("~"):
        raise InstallationError(f"{settings.data_dir}: no shell has replaced the ~; set FLYWHEEL_DATA_DIR to a path")
    if ROOT.is_relative_to(settings.root):
        raise InstallationError(f"{settings.data_dir} is not for data alone; set FLYWHEEL_DATA_DIR to such a folder")
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        settings.root.chmod(0o700)  # requests and secrets lie in it, whoever made it
    except FileExistsError as error:
        raise InstallationError(f"{settings.root} is a file; set FLYWHEEL_DATA_DIR to a folder") from error
    except OSError as error:
        raise InstallationError(
            f"the data folder {settings.root} cannot be made or closed to others: {error.strerror}; set "
            "FLYWHEEL_DATA_DIR to a folder that you own"
        ) from error


@contextmanager
def sole_user(settings: Settings) -> Iterator[int]:
    """Hold the data folder for one set-up or one set of servers. Raises InstallationError if another holds it.

    Gives the descriptor of the lock: who inherits it holds the folder too, until it ends.
    """
    with (settings.root / "in-use").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise InstallationError(
                f"another Flywheel runs in {settings.root}; end it, or set FLYWHEEL_DATA_DIR to another folder"
            ) from error
        yield file.fileno()


def make_databases(settings: Settings) -> None:
    migrate(settings.database)
    with closing(sqlite3.connect(settings.prediction_log, timeout=30)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(prediction_log.DDL)


def run_python(settings: Settings, *arguments: str) -> str:
    """Run a layer's own command; returns what it printed. Raises InstallationError with its last lines."""
    command = [sys.executable, "-m", *arguments]
    environment = child_environment(settings)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_lines = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise InstallationError(f"python -m {' '.join(arguments)} ended with {done.returncode}: {last_lines}")
    return done.stdout


def make_feature_store(settings: Settings) -> None:
    run_python(settings, "feature_repo", "apply")
    for use_case in USE_CASES:
        run_python(settings, "feature_repo", "reference", use_case)


def is_set_up(settings: Settings) -> bool:
    """Whether it was set up for the installed versions."""
    stamp = settings.root / STAMP
    return bool(installed_versions()) and stamp.exists() and stamp.read_text() == installed_versions()


def installed_versions() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.exists() else ""


def require_what_cannot_be_made_again(settings: Settings) -> None:
    """Raises InstallationError if something of a made installation has gone that a new one would not fit."""
    kept = [settings.root / "secrets" / name for name in (*SECRET_NAMES, keys.SIGNING_KEY)]
    databases = (settings.database_file, *mlflow_server.databases(settings))
    gone = [str(path) for path in (*kept, *databases) if not path.exists()]
    if gone and is_set_up(settings):
        raise InstallationError(f"gone from an installation that was made: {', '.join(gone)}; bring back a copy")


def make_servers_state(settings: Settings) -> None:
    """MLflow's and Airflow's databases and users, once per set of installed versions: looking again takes seconds."""
    if is_set_up(settings) and all(path.exists() for path in airflow_server.made_by(settings)):
        return
    with ThreadPoolExecutor(2) as threads:
        mlflow = threads.submit(run_python, settings, "infra.local.mlflow_server", "set-up")
        airflow = threads.submit(airflow_server.set_up, settings)
        mlflow.result()
        airflow.result()
    (settings.root / STAMP).write_text(installed_versions())


def set_up(settings: Settings) -> None:
    """Everything that a first start needs. Raises InstallationError, in a sentence, if it cannot be made."""
    try:
        make_root(settings)
        require_space(settings)
        require_what_cannot_be_made_again(settings)
        make_databases(settings)  # first: a folder that this version cannot use stays as it is
        settings.make_secrets()
        keys.make_model_keys(settings.root / "secrets")
        with ThreadPoolExecutor(2) as threads:
            servers = threads.submit(make_servers_state, settings)
            features = threads.submit(make_feature_store, settings)
            servers.result()
            features.result()
    except DatabaseError as error:
        raise InstallationError(str(error)) from error
    except OSError as error:
        where = error.filename or settings.root
        raise InstallationError(f"{where}: {error.strerror}; repair that and set up again") from error


def main() -> None:
    """Make the installation under FLYWHEEL_DATA_DIR (default: var/)."""
    try:
        settings = Settings()
        require_distinct_ports(settings)
        require_migratable(settings.database)  # before anything of ours is put beside it
        make_root(settings)
        with sole_user(settings):
            set_up(settings)
    except (InstallationError, DatabaseError, SettingError, OSError, sqlite3.Error) as error:
        typer.echo(f"setup: {sentence_of(error)}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"ready in {settings.root}")


if __name__ == "__main__":
    typer.run(main)
