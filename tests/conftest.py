"""The tests have the libraries as every process of an installation has them, and a home of their own for Airflow."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from infra.database import migrate
from infra.libraries import configure_libraries
from infra.quoting import sqlalchemy_url
from tests.postgresql import Server, running_postgresql

configure_libraries()
AIRFLOW_HOME = TemporaryDirectory(prefix="airflow-of-tests-")  # read when Airflow is imported; gone when the tests end
os.environ["AIRFLOW_HOME"] = AIRFLOW_HOME.name


@pytest.fixture(scope="session")
def server_of_the_tests() -> Iterator[Server]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql(server_of_the_tests: Server) -> Iterator[Server]:
    """The one server of all tests. This process's sessions end with the test that opened them: it has only so many."""
    yield server_of_the_tests
    server_of_the_tests.end_sessions()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without a table, of each kind; the file of SQLite's is not there yet."""
    if request.param == "sqlite":
        return sqlalchemy_url(tmp_path / "C# 100% data" / "control.db")
    server: Server = request.getfixturevalue("postgresql")
    return server.make_database()


@pytest.fixture
def database(empty_database: str) -> str:
    """The address of a database that was set up."""
    migrate(empty_database)
    return empty_database
