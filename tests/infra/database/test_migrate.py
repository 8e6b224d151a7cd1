"""The migrations: their end is the schema that the code knows, rows survive each of them, a failure leaves nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Integer, MetaData, Table, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from infra.database import DatabaseError, migrate, reading, schema, writing
from infra.database.compatibility import HEAD
from infra.database.engine import making
from infra.database.migrate import SCRIPTS

Rows = dict[str, list[dict[str, object]]]
TRAINING = {"use_case": "u", "state": "open", "admitted_at": 0, "admitted_at_wall": 0, "reason": ""}


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def revisions() -> list[str]:
    return [script.revision for script in scripts().walk_revisions()][::-1]


def tables_in(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(connection: Connection) -> None:
    """A row in every table that has none; a text is its column's name, so that rows refer to each other."""
    for table in tables_in(connection):
        if connection.execute(select(table)).first() is None:
            row = {c.name: 7 if isinstance(c.type, Integer) else c.name for c in table.columns if c.name != "score"}
            connection.execute(insert(table).values(**row, **({"score": 0.25} if "score" in table.c else {})))


def rows_in(connection: Connection) -> Rows:
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for table in tables_in(connection)
    }


def test_the_last_migration_is_the_one_that_the_code_asks_for() -> None:
    assert scripts().get_current_head() == HEAD
    assert revisions() == sorted(revisions()), "they are compared as texts"


def test_the_migrated_schema_is_the_one_that_the_code_knows(database: str) -> None:
    with reading(database) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
        inspector = inspect(connection)
        for table in schema.metadata.tables.values():  # what Alembic does not compare
            keys = inspector.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key.columns], table.name
            nullable = {column["name"] for column in inspector.get_columns(table.name) if column["nullable"]}
            assert nullable == {column.name for column in table.columns if column.nullable}, table.name


@pytest.mark.parametrize("difference", ["column", "nullable", "index", "type", "table"])
def test_a_schema_that_differs_is_seen(database: str, difference: str) -> None:
    """The control of the test above."""
    other = MetaData()
    for table in schema.metadata.tables.values():
        table.to_metadata(other)
    quality, trainings = other.tables["quality"], other.tables["trainings"]
    if difference == "column":
        quality.append_column(schema.required("another"))
    elif difference == "nullable":
        quality.c.details.nullable = True
    elif difference == "index":
        trainings.indexes.clear()
    elif difference == "type":
        quality.c.score.type = Integer()
    else:
        other.remove(quality)
    with reading(database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, other) != []


def test_a_use_case_has_one_open_training(database: str) -> None:
    with writing(database) as connection:
        connection.execute(insert(schema.trainings), [{**TRAINING, "training_id": "1"}])
    with pytest.raises(IntegrityError), writing(database) as connection:
        connection.execute(insert(schema.trainings), [{**TRAINING, "training_id": "2"}])
    with writing(database) as connection:
        ended = [{**TRAINING, "training_id": name, "state": "failed"} for name in ("3", "4")]
        connection.execute(insert(schema.trainings), ended)


def test_an_entry_of_the_inbox_has_its_incident(database: str) -> None:
    with pytest.raises(IntegrityError), writing(database) as connection:
        connection.execute(insert(schema.inbox).values(incident_id="none", use_case="u", requested_at=0))


def test_from_the_first_to_the_last_migration_every_row_is_kept(empty_database: str) -> None:
    for revision in revisions():
        migrate(empty_database, revision)
        with making(empty_database) as connection:
            fill(connection)
            filled = rows_in(connection)
        assert all(filled.values()), "a table without a row shows nothing"
    migrate(empty_database)
    with reading(empty_database) as connection:
        assert rows_in(connection) == filled
    assert set(filled) == set(schema.metadata.tables)


def test_a_folder_of_the_first_version_is_migrated_with_its_rows(empty_database: str) -> None:
    migrate(empty_database, revisions()[0])
    with making(empty_database) as connection:
        fill(connection)
        before = rows_in(connection)
    migrate(empty_database)
    with reading(empty_database) as connection:
        after = rows_in(connection)
    assert {name: after[name] for name in before} == before
    assert len(before) == 8


def test_migrating_again_changes_nothing(database: str) -> None:
    with making(database) as connection:
        fill(connection)
        before = rows_in(connection)
    migrate(database)
    with reading(database) as connection:
        assert rows_in(connection) == before


def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(empty_database: str) -> None:
    migrate(empty_database, "0001")
    with making(empty_database) as connection:
        fill(connection)
        connection.execute(text("CREATE TABLE lake_pins (x TEXT)"))  # the last that the next one makes
        connection.execute(text("INSERT INTO lake_pins VALUES ('y')"))
        before = rows_in(connection)
    with pytest.raises(DatabaseError, match=r"migration to 0002 failed and was undone: .*lake_pins.* already exists"):
        migrate(empty_database, "0002")
    with making(empty_database) as connection:
        assert rows_in(connection) == before
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0001"]


@pytest.mark.parametrize(
    "module",
    ["serving.use_cases.flight_delay", "monitoring.__main__", "training.__main__", "feature_repo.__main__"],
)
def test_alembic_is_imported_by_a_set_up_alone(module: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/control.db"
    migrate(url)
    program = f"""
import sys
import {module}
from infra.database import reading
assert "sqlalchemy" in sys.modules
with reading({url!r}):
    pass
assert "alembic" not in sys.modules
assert "psycopg" not in sys.modules
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_lets_readers_pass_writers_and_stands_alone_when_nobody_has_it_open(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/control.db")
    with reading(f"sqlite:///{tmp_path}/control.db") as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    assert [path.name for path in tmp_path.iterdir()] == ["control.db"], "what is copied is whole"
