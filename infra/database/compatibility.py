"""Does a database's schema fit this code? Asked once by every process, before it reads or writes anything."""

from sqlalchemy import Connection, inspect, select, text

from infra.database.address import name_of
from infra.database.errors import DatabaseError
from infra.database.schema import BREAKING, schema_compatibility

HEAD = "0002"  # the last of the migrations
FIRST_EVER = "incidents"


def revision_of(connection: Connection) -> str | None:
    """The last migration, None for an empty database.

    Raises DatabaseError for one that was made without any, and for one that belongs to another program.
    """
    tables, name = set(inspect(connection).get_table_names()), name_of(connection.engine.url)
    if schema_compatibility.name in tables:
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision
    if FIRST_EVER in tables:
        raise DatabaseError(
            f"{name} was made before the database had versions, and so were the data beside it, which this Flywheel "
            "cannot read: leave them as they are, and set FLYWHEEL_DATA_DIR to a new folder"
        )
    if tables:
        raise DatabaseError(f"{name} belongs to another program, it has a table {min(tables)}; Flywheel needs its own")
    return None


def require_schema(connection: Connection) -> None:
    """Raises DatabaseError unless this code can read and write it."""
    name, revision = name_of(connection.engine.url), revision_of(connection)
    if revision is None:
        raise DatabaseError(f"the database {name} is empty; run `make setup` first")
    breaking = require_not_newer(connection, revision)
    if breaking < BREAKING or revision < HEAD:
        raise DatabaseError(f"the database {name} has schema {revision}, this version needs {HEAD}; run `make setup`")


def require_not_newer(connection: Connection, revision: str) -> int:
    """The schema's breaking version. Raises DatabaseError if newer code has made it one that this code cannot use."""
    breaking = connection.execute(select(schema_compatibility.c.breaking)).scalar_one()
    if breaking > BREAKING:
        raise DatabaseError(
            f"the database {name_of(connection.engine.url)} has schema {revision} of breaking version {breaking}, this "
            f"version knows {BREAKING} at most: a newer Flywheel has migrated it; use that, or a copy from before"
        )
    return int(breaking)
