"""Each function's text is read back by the real parser of its syntax as the path that it was made of."""

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
import yaml

from infra.quoting import http_url, markdown_cell, parquet_files, read_only_uri, sqlalchemy_url, yaml_scalar
from tests.hostile_names import DECOYS, EVERYTHING, NAMES


@pytest.fixture(params=[*NAMES, "everything"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of that name, beside one that the name would match as a pattern."""
    for name in (NAMES.get(request.param, EVERYTHING), DECOYS.get(request.param, "decoy")):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"origin": [name]}), tmp_path / name / "part.parquet")
        with closing(sqlite3.connect(tmp_path / name / "store.db")) as connection, connection:
            connection.execute("CREATE TABLE names AS SELECT ? AS name", [name])
    return tmp_path / NAMES.get(request.param, EVERYTHING)


def test_duckdb_reads_this_file_and_no_other(folder: Path) -> None:
    rows = duckdb.connect().execute(f"SELECT origin FROM {parquet_files(folder / 'part.parquet')}").fetchall()
    assert rows == [(folder.name,)]


def test_sqlite_and_sqlalchemy_open_this_database(folder: Path) -> None:
    database = folder / "store.db"
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        assert connection.execute("SELECT name FROM names").fetchall() == [(folder.name,)]
        connection.execute("ATTACH ? AS again", [read_only_uri(database)])
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM again.names")
    with sqlalchemy.create_engine(sqlalchemy_url(database)).connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT name FROM names")).fetchall() == [(folder.name,)]
    assert sorted(path.name for path in folder.iterdir()) == ["part.parquet", "store.db"]


def test_yaml_reads_the_text_back(folder: Path) -> None:
    assert yaml.safe_load(f"path: {yaml_scalar(str(folder))}\nother: 1\n") == {"path": str(folder), "other": 1}


def test_the_control_a_pasted_path_names_another_place(tmp_path: Path) -> None:
    for name in ("C# demo", "[ab]", "a"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"v": [name]}), tmp_path / name / "part.parquet")
    assert duckdb.connect().execute(f"FROM read_parquet('{tmp_path}/[ab]/part.parquet')").fetchall() == [("a",)]
    sqlite3.connect(tmp_path / "C# demo" / "store.db").close()
    with closing(sqlite3.connect(f"file:{tmp_path}/C# demo/store.db?mode=ro", uri=True)) as connection:
        connection.execute("CREATE TABLE names (name)")
    assert (tmp_path / "C").is_file()


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert [http_url(host, 5000) for host in ("127.0.0.1", "::1")] == ["http://127.0.0.1:5000", "http://[::1]:5000"]


def test_a_cell_of_markdown_stays_in_its_row_and_column() -> None:
    assert markdown_cell("a|b\nc \\ d") == r"a\|b c \\ d"
