"""The database that the layers share, by its address: SQLite in the data folder, or PostgreSQL.

The schema is versioned: `migrate` brings it up to this code, and every other use of it refuses one that does not fit.
Times are integer microseconds since the epoch, UTC; `_wall` columns are wall time, the others the Clock's.
"""

from infra.database.engine import insert_if_absent, locked, reading, require_database, upsert, writing
from infra.database.errors import DatabaseError, LockBusyError, LockLostError, UnreachableError
from infra.database.migrate import migrate, require_migratable

__all__ = [
    "DatabaseError",
    "LockBusyError",
    "LockLostError",
    "UnreachableError",
    "insert_if_absent",
    "locked",
    "migrate",
    "reading",
    "require_database",
    "require_migratable",
    "upsert",
    "writing",
]
