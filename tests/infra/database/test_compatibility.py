"""A process uses a database whose schema fits, and refuses every other one in a sentence."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from infra.database import DatabaseError, UnreachableError, migrate, reading, require_database, schema, upsert, writing
from infra.database.address import address_of, name_of
from infra.database.compatibility import HEAD
from infra.database.engine import making
from infra.quoting import sqlalchemy_url
from tests.infra.database.before import contents, folder_of_before
from tests.postgresql import Server

NEWER = "9999"
ROW = {"use_case": "u", "paused": 1, "reason": "holiday", "updated_at_wall": 1}


def claim_to_be(connection: Connection, revision: str, *, breaking: int) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    connection.execute(text("UPDATE schema_compatibility SET breaking = :breaking"), {"breaking": breaking})


def revision_of(url: str) -> object:
    with making(url) as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def test_an_empty_database_is_refused(empty_database: str) -> None:
    with making(empty_database):
        pass
    with pytest.raises(DatabaseError, match="is empty; run `make setup` first"), reading(empty_database):
        pass


def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "C# 100%" / "control.db"
    for use in (reading, writing):
        with pytest.raises(DatabaseError) as refused, use(sqlalchemy_url(path)):
            pass
        assert str(refused.value) == f"no database at {path}; run `make setup` first, or see FLYWHEEL_DATA_DIR"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_has_gone_meanwhile_is_not_made_anew(tmp_path: Path) -> None:
    url = sqlalchemy_url(tmp_path / "control.db")
    migrate(url)
    require_database(url)
    (tmp_path / "control.db").unlink()
    with pytest.raises(UnreachableError, match="unable to open database file"), writing(url):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_before_is_refused_and_not_changed(tmp_path: Path) -> None:
    settings = folder_of_before(tmp_path / "var")
    before = contents(settings.root)
    for use in (migrate, require_database):
        with pytest.raises(DatabaseError, match=r"control.db was made before .* set FLYWHEEL_DATA_DIR to a new folder"):
            use(settings.database)
    assert contents(settings.root) == before


@pytest.mark.parametrize("table", ["experiments", "alembic_version"])
def test_another_programs_database_is_refused_and_not_changed(empty_database: str, table: str) -> None:
    with making(empty_database) as connection:
        connection.execute(text(f"CREATE TABLE {table} (version_num TEXT)"))
    for use in (migrate, require_database):
        with pytest.raises(DatabaseError, match=f"belongs to another program, it has a table {table}; Flywheel needs"):
            use(empty_database)
    with making(empty_database) as connection:
        assert connection.execute(text(f"SELECT * FROM {table}")).all() == []


def test_an_older_schema_is_refused_until_set_up_migrates_it(empty_database: str) -> None:
    migrate(empty_database, "0001")
    with pytest.raises(DatabaseError, match=f"has schema 0001, this version needs {HEAD}; run `make setup`"):
        require_database(empty_database)
    migrate(empty_database)
    require_database(empty_database)


def test_a_newer_schema_that_breaks_nothing_is_left_alone_and_works(database: str) -> None:
    with making(database) as connection:
        claim_to_be(connection, NEWER, breaking=schema.BREAKING)
    migrate(database)
    with writing(database) as connection:
        upsert(connection, schema.switches, ROW)
    with reading(database) as connection:
        assert connection.execute(select(schema.switches)).one()._asdict() == ROW
    assert revision_of(database) == NEWER


def test_a_newer_schema_that_breaks_this_code_is_refused_and_not_changed(database: str) -> None:
    with making(database) as connection:
        claim_to_be(connection, NEWER, breaking=schema.BREAKING + 1)
    for use in (migrate, require_database):
        with pytest.raises(DatabaseError) as refused:
            use(database)
        assert str(refused.value) == (
            f"the database {name_of(address_of(database))} has schema {NEWER} of breaking version "
            f"{schema.BREAKING + 1}, this version knows {schema.BREAKING} at most: a newer Flywheel has migrated it; "
            "use that, or a copy from before"
        )
    assert revision_of(database) == NEWER


@pytest.mark.parametrize("kind", ["nonsense", "folder"])
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "control.db"
    path.mkdir() if kind == "folder" else path.write_text("no database" * 1000)
    words = {"folder": "unable to open database file", "nonsense": "file is not a database"}[kind]
    with pytest.raises(UnreachableError) as refused:
        require_database(sqlalchemy_url(path))
    assert str(refused.value) == f"the database {path}: {words}; end what holds it, or bring it back"


def test_a_file_that_another_has_alone_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    migrate(sqlalchemy_url(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnreachableError, match="database is locked; end what holds it"):
            require_database(f"{sqlalchemy_url(path)}?timeout=0.1")


def test_a_server_that_does_not_answer_or_knows_another_password_is_one_line_without_it(postgresql: Server) -> None:
    away = f"postgresql+psycopg://flywheel:{postgresql.password}@127.0.0.1:1/flywheel"
    wrong = postgresql.url("postgres").replace(postgresql.password, "another-password")
    for url, words in ((away, "refused"), (wrong, "password authentication failed")):
        with pytest.raises(UnreachableError, match=words) as refused:
            require_database(url)
        sentence = str(refused.value)
        assert sentence.startswith("the database postgresql://127.0.0.1:")
        assert "\n" not in sentence
        assert postgresql.password not in sentence
        assert "another-password" not in sentence
