"""Brings a database's schema up to this code by Alembic's migrations: all of those that lack, or none."""

from pathlib import Path

from sqlalchemy import Connection

from infra.database.compatibility import HEAD, require_not_newer, revision_of
from infra.database.engine import alone, engine_of, file_of, is_sqlite

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(url: str, to: str = HEAD) -> None:
    """Make or migrate the schema; one of a newer version that does no harm is left as it is.

    Raises DatabaseError for a newer one that does, and for one that was made before there were versions.
    """
    engine = engine_of(url)
    if is_sqlite(engine):
        file_of(engine).parent.mkdir(parents=True, exist_ok=True)
    with engine.connect() as connection, alone(connection):
        revision = revision_of(connection)
        if revision is not None:
            require_not_newer(connection, revision)
        if revision is None or revision < to:
            run_scripts(connection, to)


def run_scripts(connection: Connection, to: str) -> None:
    from alembic import command  # seconds that only a set-up waits for
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
