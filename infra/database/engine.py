"""Transactions, locks and upserts, by the database's address: all that SQLite and PostgreSQL do differently is here.

On SQLite a lock is a file beside the database, on PostgreSQL an advisory lock of a session; either way the system drops
it when the process that held it ends.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from infra.database.compatibility import require_schema
from infra.database.errors import DatabaseError, LockBusyError

SECONDS_BETWEEN_TRIES = 0.02
SQLITE_WAITS_SECONDS = 30
NO_WAIT = timedelta(0)

Transaction = Callable[[], AbstractContextManager[Connection]]


@cache
def engine_of(url: str) -> Engine:
    """One for each address and process, without a look at the schema."""
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        return create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if address.get_backend_name() != "sqlite" or not address.database:
        raise DatabaseError(f"{address!r} is no database of ours; expected sqlite:///PATH or postgresql+psycopg://HOST")
    # No pool: a file that stays open keeps its write-ahead log from being folded in, and a copy from being whole.
    engine = create_engine(address, poolclass=NullPool, connect_args={"timeout": SQLITE_WAITS_SECONDS})
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  sqlite3's own
    connection.isolation_level = None  # the driver's own BEGIN would come late, and not at all before a read
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def begin_sqlite(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def file_of(engine: Engine) -> Path:
    assert engine.url.database is not None
    return Path(engine.url.database)


@cache
def checked_engine(url: str) -> Engine:
    """Raises DatabaseError if there is no database or its schema does not fit; looked at once for each process."""
    engine = engine_of(url)
    if is_sqlite(engine) and not file_of(engine).exists():
        raise DatabaseError(f"no database at {file_of(engine)}; run `make setup` first, or see FLYWHEEL_DATA_DIR")
    try:
        with snapshot(engine) as connection:
            require_schema(connection)
    except OperationalError as error:
        raise DatabaseError(f"the database {engine.url!r} cannot be used: {error.orig}") from error
    return engine


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: all its statements see the same moment, and it waits for nobody."""
    isolation = {} if is_sqlite(engine) else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**isolation) as connection, connection.begin():
        yield connection


@contextmanager
def alone(connection: Connection) -> Iterator[Connection]:
    """A transaction on this connection that is the only one that writes until it ends."""
    with connection.execution_options(is_writer=True).begin():
        if connection.dialect.name != "sqlite":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key_of("writing")})
        yield connection


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    with snapshot(checked_engine(url)) as connection:
        yield connection


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """It waits for other writers, commits when the block ends, and rolls back if it raises."""
    with checked_engine(url).connect() as connection, alone(connection):
        yield connection


def upsert(connection: Connection, table: Table, values: Mapping[str, object]) -> None:
    """Insert the row, or set its other columns if there is one of its primary key."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    keys = [column.name for column in table.primary_key.columns]
    statement = insert(table).values(**values)
    others = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others))


@contextmanager
def locked(
    url: str, name: str, *, shared: bool = False, wait: timedelta = NO_WAIT, once: bool = False
) -> Iterator[Transaction]:
    """Hold the lock of that name; many may share it, or one has it alone. Raises LockBusyError after `wait`.

    Gives a transaction like `writing`, which fails if the lock was lost meanwhile. After `once` nobody takes that lock
    again, and nothing of it is left.
    """
    engine = checked_engine(url)
    hold = file_lock if is_sqlite(engine) else advisory_lock
    with hold(engine, name, shared=shared, wait=wait) as transaction:
        yield transaction
        if once and is_sqlite(engine):
            lock_file(engine, name).unlink(missing_ok=True)


def lock_file(engine: Engine, name: str) -> Path:
    return file_of(engine).parent / "locks" / f"{name.replace('/', '.')}.lock"


@contextmanager
def file_lock(engine: Engine, name: str, *, shared: bool, wait: timedelta) -> Iterator[Transaction]:
    path = lock_file(engine, name)
    path.parent.mkdir(exist_ok=True)
    deadline = time.monotonic() + wait.total_seconds()
    with path.open("a+") as file:
        while not try_to_lock(file.fileno(), shared=shared):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise busy(name, f"process {file.read().strip() or 'of a reader'}", wait)
            time.sleep(SECONDS_BETWEEN_TRIES)
        if not shared:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield lambda: writing(str(engine.url.render_as_string(hide_password=False)))


def try_to_lock(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def advisory_lock(engine: Engine, name: str, *, shared: bool, wait: timedelta) -> Iterator[Transaction]:
    suffix, key = ("_shared" if shared else ""), key_of(name)
    deadline = time.monotonic() + wait.total_seconds()
    with engine.connect() as connection:
        while not ask(connection, f"SELECT pg_try_advisory_lock{suffix}(:key)", key):
            if time.monotonic() >= deadline:
                raise busy(name, holders(connection, key), wait)
            time.sleep(SECONDS_BETWEEN_TRIES)
        try:
            yield lambda: alone(connection)
        finally:
            ask(connection, f"SELECT pg_advisory_unlock{suffix}(:key)", key)


def ask(connection: Connection, query: str, key: int) -> bool:
    with connection.begin():
        return bool(connection.execute(text(query), {"key": key}).scalar_one())


def holders(connection: Connection, key: int) -> str:
    """Who holds it, as the server knows them."""
    query = text(
        "SELECT 'session ' || pid FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND (classid::bigint << 32 | objid::bigint) = :key"
    )
    with connection.begin():
        found = connection.execute(query, {"key": key}).scalars().all()
    return ", ".join(found) or "a session that has just ended"


def key_of(name: str) -> int:
    """PostgreSQL's locks go by a number of 64 bits, here a positive one."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1


def busy(name: str, holder: str, wait: timedelta) -> LockBusyError:
    return LockBusyError(
        f"{name}: {holder} holds it, for {wait.total_seconds():g} s at least; run this again when it has ended"
    )
