"""Brings a database's schema up to this code by Alembic's migrations: all of those that lack, or none."""

from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.database.address import file_of, name_of
from infra.database.compatibility import HEAD, require_not_newer, revision_of
from infra.database.engine import engine_of, is_sqlite, let_readers_pass_writers, making, reason_of, snapshot
from infra.database.errors import DatabaseError

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(url: str, to: str = HEAD) -> None:
    """Make or migrate the schema; one of a newer version that does no harm is left as it is.

    Raises DatabaseError for a newer one that does, for one that was made before there were versions, and for a
    migration that fails: whichever it is, the database stays as it was.
    """
    with making(url) as connection:
        revision = revision_of(connection)
        if revision is not None:
            require_not_newer(connection, revision)
        if revision is None or revision < to:
            run_scripts(connection, to)
    let_readers_pass_writers(url)


def require_migratable(url: str) -> None:
    """Raises DatabaseError for what `migrate` would refuse, and makes and changes nothing."""
    engine = engine_of(url)
    if is_sqlite(engine) and not file_of(engine.url).exists():
        return
    with snapshot(engine) as connection:
        revision = revision_of(connection)
        if revision is not None:
            require_not_newer(connection, revision)


def run_scripts(connection: Connection, to: str) -> None:
    from alembic import command  # seconds that only a set-up waits for
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except DBAPIError as error:
        name = name_of(connection.engine.url)
        raise DatabaseError(f"{name}: migration to {to} failed and was undone: {reason_of(error)}") from error
