"""Airflow on one machine: SQLite, its scheduler, DAG processor and API server as three quiet processes.

`python -m infra.local.airflow_server scheduler` (or dag-processor, api-server) becomes that process. `airflow
standalone` is not used: ended by a signal it leaves its children behind. Passwords and keys stay in files that Airflow
reads by itself, so that no process has them in its environment.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from infra.local.errors import InstallationError
from infra.quoting import sqlalchemy_url
from infra.settings import SettingError, Settings, child_environment, write_secret

ADMIN = "admin"
DATABASE = "airflow.db"
ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = Path(__file__).with_name("airflow.cfg")
ARGUMENTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "api-server": ["api-server", "--workers", "1"],
}


def home(settings: Settings) -> Path:
    return settings.root / "airflow"


def passwords_file(settings: Settings) -> Path:
    return settings.root / "secrets" / "airflow_passwords.json"


def made_by(settings: Settings) -> list[Path]:
    """What the set-up makes: the database and the users' passwords."""
    return [home(settings) / DATABASE, passwords_file(settings)]


def command(settings: Settings, component: str) -> list[str]:
    where = ["--host", settings.bind, "--port", str(settings.airflow_port)] if component == "api-server" else []
    return [sys.executable, "-m", "airflow", *ARGUMENTS[component], *where]


def environment(settings: Settings) -> dict[str, str]:
    """What of Airflow's configuration differs between installations, as section and option."""
    place = home(settings)
    options = {
        ("core", "dags_folder"): str(ROOT),
        ("core", "execution_api_server_url"): f"{settings.airflow_url}/execution/",
        ("core", "simple_auth_manager_users"): f"{ADMIN}:admin",
        ("core", "simple_auth_manager_passwords_file"): str(passwords_file(settings)),
        ("core", "fernet_key_cmd"): read_command(settings, "airflow_fernet"),
        ("api", "secret_key_cmd"): read_command(settings, "airflow_session_key"),
        ("api", "base_url"): settings.airflow_url,
        ("api_auth", "jwt_secret_cmd"): read_command(settings, "airflow_jwt"),
        ("database", "sql_alchemy_conn"): sqlalchemy_url(place / DATABASE),
        ("core", "plugins_folder"): str(place / "plugins"),
        ("logging", "base_log_folder"): str(place / "logs"),
        ("logging", "dag_processor_child_process_log_directory"): str(place / "logs" / "dag_processor"),
    }
    own = {f"AIRFLOW__{section}__{option}".upper(): value for (section, option), value in options.items()}
    return child_environment(settings, {"AIRFLOW_HOME": str(place), "AIRFLOW_CONFIG": str(CONFIGURATION), **own})


def read_command(settings: Settings, secret: str) -> str:
    return f"cat {shlex.quote(str(settings.root / 'secrets' / secret))}"


def set_up(settings: Settings) -> None:
    """Make the database and the one user. Raises InstallationError with Airflow's last words."""
    home(settings).mkdir(parents=True, exist_ok=True)
    write_secret(passwords_file(settings), json.dumps({ADMIN: settings.secret("airflow_password")}).encode())
    migration = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(migration, env=environment(settings), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallationError(f"airflow db migrate ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    (home(settings) / DATABASE).chmod(0o600)


def main(component: str) -> None:
    try:
        settings = Settings()
    except SettingError as error:
        sys.exit(str(error))
    if not passwords_file(settings).exists():
        sys.exit(f"{passwords_file(settings)} does not exist; run `make setup` first")
    arguments = command(settings, component)
    os.execve(arguments[0], arguments, environment(settings))  # noqa: S606


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ARGUMENTS:
        sys.exit(f"usage: python -m infra.local.airflow_server {'|'.join(ARGUMENTS)}")
    main(sys.argv[1])
