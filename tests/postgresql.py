"""Debian's PostgreSQL as a server of the tests' own: own folder, free port, passwords made here, TCP on loopback.

PostgreSQL refuses to be root, so as root it runs as the package's user `postgres`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from infra.database.engine import engine_of

PROGRAMS = Path("/usr/lib/postgresql")
AS_POSTGRES = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups")
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = {port}
max_connections = 100
fsync = off
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    port: int
    password: str
    made: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://flywheel:{self.password}@127.0.0.1:{self.port}/{database}"

    def make_database(self) -> str:
        """The address of a new, empty one."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        self.made.append(self.url(name))
        return self.url(name)

    def end_sessions(self) -> None:
        """Those that this process keeps with the databases that were made here."""
        while self.made:
            engine_of(self.made.pop()).dispose()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """As the server's owner, beside whatever the tests have open."""
        address = f"host=127.0.0.1 port={self.port} user=flywheel password={self.password} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def programs() -> Path:
    """The newest that is installed. Raises FileNotFoundError, with what to install."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise FileNotFoundError(f"no PostgreSQL in {PROGRAMS}; the tests need Debian's package `postgresql`")
    return found[-1].parent


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running_postgresql() -> Iterator[Server]:
    server = Server(port=free_port(), password=secrets.token_hex(16))
    with tempfile.TemporaryDirectory(prefix="postgresql-of-tests-") as name:
        folder = Path(name)
        (folder / "password").write_text(server.password)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        command = ["initdb", "-D", str(folder / "data"), "-k", "-N", "-U", "flywheel", "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        run(folder, *command)
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION.format(port=server.port))
        run(folder, "pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "start")
        try:
            yield server
        finally:
            run(folder, "pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "-w", "stop")


def run(folder: Path, program: str, *arguments: str) -> None:
    """In a folder that the server's user may enter. Its output goes to a file: the server inherits it."""
    prefix = AS_POSTGRES if os.geteuid() == 0 else ()
    output = folder / f"{program}.out"
    with output.open("wb") as file:
        command = [*prefix, str(programs() / program), *arguments]
        ended = subprocess.run(command, cwd=folder, stdout=file, stderr=file, check=False)
    assert ended.returncode == 0, f"{program}: {output.read_text(errors='replace')}"
