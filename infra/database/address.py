"""A database's address: which kinds there are, and how a message names it."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from infra.database.errors import DatabaseError

EXPECTED = "expected sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME"


def address_of(url: str) -> URL:
    """Raises DatabaseError for what is no address of SQLite's or PostgreSQL's."""
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise DatabaseError(f"the address of the database is no URL; {EXPECTED}") from error
    if address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:"):
        return address
    if address.drivername in ("postgresql", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    raise DatabaseError(f"{address.drivername}: no database of that kind, or without a file; {EXPECTED}")


def name_of(address: URL) -> str:
    """The path of a file, or server and name: neither an account nor an option, which may be secret."""
    if address.get_backend_name() == "sqlite":
        return str(file_of(address))
    return f"postgresql://{address.host or 'localhost'}:{address.port or 5432}/{address.database or ''}"


def file_of(address: URL) -> Path:
    assert address.database is not None
    return Path(address.database)
