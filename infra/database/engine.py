"""Transactions, locks and upserts, by the database's address: all that SQLite and PostgreSQL do differently is here.

On SQLite a lock is a file beside the database, on PostgreSQL an advisory lock of a session; either way the system drops
it when the process that held it ends.
"""

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, exc, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from infra.database.address import address_of, file_of, name_of
from infra.database.compatibility import require_schema
from infra.database.errors import DatabaseError, LockBusyError, LockLostError, UnreachableError

SECONDS_BETWEEN_TRIES = 0.02
WRITER_WAITS_SECONDS = 30
CONNECT_SECONDS = 10
NO_WAIT = timedelta(0)
# Statements that are wrong, not a database that is: a defect of ours, which may show its traceback.
OWN_FAULTS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError, exc.NotSupportedError)

Transaction = Callable[[], AbstractContextManager[Connection]]


@cache
def engine_of(url: str) -> Engine:
    """One for each address and process, without a look at the schema. It makes no file."""
    address = address_of(url)
    if address.get_backend_name() == "sqlite":
        return sqlite_engine(address, mode="rw", foreign_keys=True)
    return create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})


def sqlite_engine(address: URL, *, mode: str, foreign_keys: bool) -> Engine:
    seconds = float(str(address.query.get("timeout", WRITER_WAITS_SECONDS)))

    def connect() -> sqlite3.Connection:
        uri = f"{file_of(address).absolute().as_uri()}?mode={mode}"
        # Without an isolation level: the driver's own BEGIN would come late, and not at all before a read.
        return sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None)

    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  sqlite3's own
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")

    # No pool: a file that stays open keeps its write-ahead log from being folded in, and a copy from being whole.
    engine = create_engine(address, creator=connect, poolclass=NullPool)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def begin_sqlite(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {int(not is_writer)}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


@cache
def checked_engine(url: str) -> Engine:
    """Raises DatabaseError if there is no database or its schema does not fit; looked at once for each process."""
    engine = engine_of(url)
    if is_sqlite(engine) and not file_of(engine.url).exists():
        raise DatabaseError(f"no database at {file_of(engine.url)}; run `make setup` first, or see FLYWHEEL_DATA_DIR")
    with snapshot(engine) as connection:
        require_schema(connection)
    return engine


def require_database(url: str) -> None:
    """Raises DatabaseError if there is none or its schema does not fit: for who needs it later, after other work."""
    checked_engine(url)


@contextmanager
def in_a_sentence(engine: Engine) -> Iterator[None]:
    """Raises UnreachableError for what the database fails at."""
    try:
        yield
    except OWN_FAULTS:
        raise
    except (exc.DBAPIError, exc.TimeoutError) as error:
        advice = "end what holds it, or bring it back" if is_sqlite(engine) else "see that it runs and may be entered"
        raise UnreachableError(f"the database {name_of(engine.url)}: {reason_of(error)}; {advice}") from error


def reason_of(error: exc.SQLAlchemyError) -> str:
    """What the driver says, on one line, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: all its statements see the same moment, and it waits for nobody."""
    isolation = {} if is_sqlite(engine) else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with in_a_sentence(engine), engine.connect() as connection, connection.execution_options(**isolation).begin():
        yield connection


@contextmanager
def alone(connection: Connection) -> Iterator[Connection]:
    """A transaction on this connection that is the only one that writes until it ends; it waits for others."""
    with in_a_sentence(connection.engine), connection.execution_options(is_writer=True).begin():
        if connection.dialect.name != "sqlite":
            connection.execute(text(f"SET LOCAL lock_timeout = '{WRITER_WAITS_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key_of("writing")})
        yield connection


def opened(engine: Engine) -> Connection:
    with in_a_sentence(engine):
        return engine.connect()


@contextmanager
def alone_in(engine: Engine) -> Iterator[Connection]:
    with opened(engine) as connection, alone(connection):
        yield connection


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    with snapshot(checked_engine(url)) as connection:
        yield connection


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """It waits for other writers, commits when the block ends, and rolls back if it raises."""
    with alone_in(checked_engine(url)) as connection:
        yield connection


@contextmanager
def making(url: str) -> Iterator[Connection]:
    """Like `writing`, for whoever makes the schema: a file that is not there is made.

    On SQLite without foreign keys: a table that others refer to is changed by making it anew.
    """
    address, engine = address_of(url), engine_of(url)
    if is_sqlite(engine):
        file_of(address).parent.mkdir(parents=True, exist_ok=True)
        engine = sqlite_engine(address, mode="rwc", foreign_keys=False)
    with alone_in(engine) as connection:
        yield connection


def let_readers_pass_writers(url: str) -> None:
    """PostgreSQL always does; an SQLite file remembers to, once it is told."""
    engine = engine_of(url)
    if is_sqlite(engine):
        with in_a_sentence(engine), closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL")


def upsert(connection: Connection, table: Table, values: Mapping[str, object]) -> None:
    """Insert the row, or set its other columns if there is one of its primary key."""
    keys = [column.name for column in table.primary_key.columns]
    statement = insert_of(connection)(table).values(**values)
    others = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others))


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, object]) -> None:
    """Insert the row unless there is one of its primary key."""
    keys = [column.name for column in table.primary_key.columns]
    connection.execute(insert_of(connection)(table).values(**values).on_conflict_do_nothing(index_elements=keys))


def insert_of(connection: Connection) -> Any:  # noqa: ANN401  two classes with the same methods and no common base
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


@contextmanager
def locked(
    url: str, name: str, *, shared: bool = False, wait: timedelta = NO_WAIT, once: bool = False
) -> Iterator[Transaction]:
    """Hold the lock of that name; many may share it, or one has it alone. Raises LockBusyError after `wait`.

    Gives a transaction like `writing`, which fails if the lock was lost meanwhile; so does the end of the block, by
    LockLostError. After `once` nobody takes that lock again, and nothing of it is left.
    """
    engine = checked_engine(url)
    hold = file_lock if is_sqlite(engine) else advisory_lock
    with hold(engine, name, shared=shared, wait=wait) as transaction:
        yield transaction
        if once and is_sqlite(engine):
            lock_file(engine, name).unlink(missing_ok=True)


def lock_file(engine: Engine, name: str) -> Path:
    return file_of(engine.url).parent / "locks" / f"{quote(name, safe='')}.lock"


@contextmanager
def file_lock(engine: Engine, name: str, *, shared: bool, wait: timedelta) -> Iterator[Transaction]:
    path = lock_file(engine, name)
    path.parent.mkdir(exist_ok=True)
    deadline = time.monotonic() + wait.total_seconds()
    with path.open("a+") as file:
        while not try_to_lock(file.fileno(), shared=shared):
            if time.monotonic() >= deadline:
                raise busy(name, holder_in(path), wait)
            time.sleep(SECONDS_BETWEEN_TRIES)
        file.truncate(0)  # it may name one that was killed
        if not shared:
            file.write(str(os.getpid()))
            file.flush()
        yield lambda: alone_in(engine)


def holder_in(path: Path) -> str:
    """Who holds it alone has written so; of those who share it, none can for the others."""
    number = path.read_text()
    return f"process {number}" if number else "a process that shares it"


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
    with opened(engine) as connection:
        connection.detach()  # whatever becomes of this block, no other gets a session that still holds a lock
        while not ask(connection, f"SELECT pg_try_advisory_lock{suffix}(:key)", key):
            if time.monotonic() >= deadline:
                raise busy(name, holders(connection, key), wait)
            time.sleep(SECONDS_BETWEEN_TRIES)
        unlock = f"SELECT pg_advisory_unlock{suffix}(:key)"
        try:
            yield lambda: alone_while_locked(connection, name)
        except BaseException:
            with suppress(DatabaseError):
                give_back(connection, unlock, key, name)
            raise
        give_back(connection, unlock, key, name)


@contextmanager
def alone_while_locked(connection: Connection, name: str) -> Iterator[Connection]:
    require_session(connection, name)
    with alone(connection) as same:
        yield same


def give_back(connection: Connection, unlock: str, key: int, name: str) -> None:
    require_session(connection, name)
    try:
        is_given_back = ask(connection, unlock, key)
    except UnreachableError as error:
        raise lost(name) from error
    if not is_given_back:
        raise lost(name)


def require_session(connection: Connection, name: str) -> None:
    """A connection whose session has ended would begin another one, without the lock."""
    if connection.invalidated:
        raise lost(name)


def ask(connection: Connection, query: str, key: int) -> bool:
    with in_a_sentence(connection.engine), connection.begin():
        return bool(connection.execute(text(query), {"key": key}).scalar_one())


def holders(connection: Connection, key: int) -> str:
    """Who holds it, as the server knows them."""
    query = text(
        "SELECT 'session ' || pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND (classid::bigint << 32 | objid::bigint) = :key ORDER BY pid"
    )
    with in_a_sentence(connection.engine), connection.begin():
        found = connection.execute(query, {"key": key}).scalars().all()
    return ", ".join(found) or "a session that has just ended"


def key_of(name: str) -> int:
    """PostgreSQL's locks go by a number of 64 bits, here a positive one."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1


def busy(name: str, holder: str, wait: timedelta) -> LockBusyError:
    return LockBusyError(
        f"{name}: {holder} holds it, for {wait.total_seconds():g} s at least; run this again when it has ended"
    )


def lost(name: str) -> LockLostError:
    return LockLostError(
        f"{name}: the session that held its lock ended before the work did; nothing of that is certain, run it again"
    )
