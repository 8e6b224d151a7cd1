"""Transactions, upserts and locks, each on SQLite and on a real PostgreSQL; who holds a lock is a real process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, InternalError

from infra.database import (
    LockBusyError,
    LockLostError,
    UnreachableError,
    insert_if_absent,
    locked,
    migrate,
    reading,
    schema,
    upsert,
    writing,
)
from tests.postgresql import Server

SWITCHES = schema.switches
ROW = {"use_case": "u", "paused": 1, "reason": "holiday", "updated_at_wall": 5}
SOON = timedelta(seconds=20)
NAME = "lake/flights"


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(SWITCHES)).scalar_one()


def switches(database: str) -> list[dict[str, Any]]:
    with reading(database) as connection:
        return [dict(row) for row in connection.execute(select(SWITCHES)).mappings()]


# Transactions


def test_what_was_written_is_there_and_what_raised_is_not(database: str) -> None:
    with writing(database) as connection:
        connection.execute(insert(SWITCHES).values(**ROW))
    with pytest.raises(IntegrityError), writing(database) as connection:
        connection.execute(update(SWITCHES).values(paused=0))
        connection.execute(insert(SWITCHES).values(**ROW))
    assert switches(database) == [ROW]


def test_a_statement_that_breaks_a_rule_is_no_fault_of_the_database(database: str) -> None:
    with writing(database) as connection:
        connection.execute(insert(SWITCHES).values(**ROW))
    with pytest.raises(IntegrityError), writing(database) as connection:
        connection.execute(insert(SWITCHES).values(**ROW))


def test_a_reader_sees_one_moment_and_waits_for_no_writer(database: str) -> None:
    with ExitStack() as stack:
        early = stack.enter_context(reading(database))
        assert count(early) == 0
        with writing(database) as writer:
            writer.execute(insert(SWITCHES).values(**ROW))
            with reading(database) as beside:
                assert count(beside) == 0, "not committed yet"
        assert count(early) == 0, "committed after its moment"
        assert [dict(row) for row in early.execute(select(SWITCHES)).mappings()] == []
    assert switches(database) == [ROW]


def test_a_reader_cannot_write(database: str) -> None:
    with pytest.raises((UnreachableError, InternalError), match=r"read-?only"), reading(database) as connection:
        connection.execute(insert(SWITCHES).values(**ROW))
    assert switches(database) == []


def test_a_writer_that_another_keeps_out_too_long_is_a_sentence(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/control.db"
    migrate(database)
    words = f"the database {tmp_path}/control.db: database is locked; end what holds it"
    with writing(database), pytest.raises(UnreachableError, match=words), writing(f"{database}?timeout=0.1"):
        pass


def test_writers_exclude_each_other(database: str) -> None:
    """Each reads a number and writes the next one: were two of them at it at once, one would be lost."""
    with writing(database) as connection:
        connection.execute(insert(SWITCHES).values(**{**ROW, "updated_at_wall": 0}))

    def count_on() -> None:
        for _ in range(10):
            with writing(database) as connection:
                number = connection.execute(select(SWITCHES.c.updated_at_wall)).scalar_one()
                connection.execute(update(SWITCHES).values(updated_at_wall=number + 1))

    threads = [threading.Thread(target=count_on) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert switches(database)[0]["updated_at_wall"] == 60


def test_a_session_that_was_terminated_is_a_sentence_and_the_next_transaction_works(postgresql: Server) -> None:
    database = postgresql.make_database()
    migrate(database)
    with pytest.raises(UnreachableError, match="terminating connection"), writing(database) as connection:
        postgresql.execute(f"SELECT pg_terminate_backend({session_of(connection)})")
        connection.execute(insert(SWITCHES).values(**ROW))
    with writing(database) as connection:
        connection.execute(insert(SWITCHES).values(**ROW))
    assert switches(database) == [ROW]


# Upserts


def test_an_upsert_inserts_and_then_sets_what_it_names(database: str) -> None:
    with writing(database) as connection:
        upsert(connection, SWITCHES, ROW)
        upsert(connection, SWITCHES, {**ROW, "use_case": "another"})
        upsert(connection, SWITCHES, {**ROW, "paused": 0, "reason": ""})
    assert {row["use_case"]: (row["paused"], row["reason"]) for row in switches(database)} == {
        "u": (0, ""),
        "another": (1, "holiday"),
    }


def test_an_upsert_goes_by_the_whole_primary_key(database: str) -> None:
    keys = {"use_case": "u", "source": "s", "interval_start": 0}
    rest = {"num_rows": 1, "num_quarantined": 0, "num_warned": 0, "failed": 0, "details": "{}"}
    with writing(database) as connection:
        for end, score in ((1, 0.1), (2, 0.2), (1, 0.3)):
            upsert(connection, schema.quality, {**keys, **rest, "interval_end": end, "score": score})
        rows = connection.execute(select(schema.quality.c.interval_end, schema.quality.c.score)).all()
    assert sorted(rows) == [(1, 0.3), (2, 0.2)]


def test_what_is_there_stays_when_it_is_inserted_if_absent(database: str) -> None:
    with writing(database) as connection:
        insert_if_absent(connection, SWITCHES, ROW)
        insert_if_absent(connection, SWITCHES, {**ROW, "paused": 0})
    assert switches(database) == [ROW]


def test_insert_if_absent_hides_no_other_conflict(database: str) -> None:
    """A second open training of a use case is no row that is there already."""
    row = {"use_case": "u", "state": "open", "admitted_at": 0, "admitted_at_wall": 0, "reason": ""}
    with pytest.raises(IntegrityError), writing(database) as connection:
        for name in ("1", "2"):
            insert_if_absent(connection, schema.trainings, {**row, "training_id": name})


# Locks


@contextmanager
def holder(database: str, *mode: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock; a line lets it go on."""
    command = [sys.executable, "-m", "tests.infra.database.holder", database, NAME, *mode]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def is_free(database: str, *, shared: bool = False, wait: timedelta = timedelta(0)) -> bool:
    try:
        with locked(database, NAME, shared=shared, wait=wait):
            return True
    except LockBusyError:
        return False


def session_of(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return number


@pytest.fixture
def terminated(postgresql: Server) -> Iterator[tuple[str, Any]]:
    """A database, and the transaction of a lock whose session the server has ended meanwhile."""
    database = postgresql.make_database()
    migrate(database)
    lost = f"{NAME}: the session that held its lock ended before the work did"
    with pytest.raises(LockLostError, match=lost), locked(database, NAME) as transaction:
        with transaction() as connection:
            session = session_of(connection)
        postgresql.execute(f"SELECT pg_terminate_backend({session}, 5000)")
        yield database, transaction


def test_a_lock_is_held_alone_and_free_afterwards(database: str) -> None:
    with locked(database, NAME):
        assert not is_free(database)
        assert not is_free(database, shared=True)
        with locked(database, "lake/weather"), locked(database, "lake.flights"):
            pass
    assert is_free(database)


def test_a_lock_is_free_after_an_error_too_and_at_once(database: str) -> None:
    for _ in range(20):
        with pytest.raises(RuntimeError), locked(database, NAME):
            raise RuntimeError
    assert is_free(database)


def test_a_session_that_held_a_lock_serves_nothing_else_afterwards(postgresql: Server) -> None:
    database = postgresql.make_database()
    migrate(database)
    with locked(database, NAME) as transaction, transaction() as connection:
        session = session_of(connection)
    deadline = time.monotonic() + SOON.total_seconds()
    while postgresql.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {session}"):
        assert time.monotonic() < deadline, "its session goes on, and with it whatever lock it were left with"


def test_a_shared_lock_keeps_out_only_who_wants_it_alone(database: str) -> None:
    with holder(database, "shared"), locked(database, NAME, shared=True):
        busy = pytest.raises(LockBusyError, match=f"{NAME}: .* holds it, for 0 s at least; run this again")
        with busy, locked(database, NAME):
            pass
        assert is_free(database, shared=True)
    assert is_free(database, wait=SOON)


def test_who_holds_a_lock_is_named(database: str, request: pytest.FixtureRequest) -> None:
    with holder(database) as process:
        with pytest.raises(LockBusyError) as busy, locked(database, NAME):
            pass
        named = f"process {process.pid}"
        if database.startswith("postgresql"):
            server: Server = request.getfixturevalue("postgresql")
            (socket,) = psutil.Process(process.pid).net_connections("tcp4")
            ((session,),) = server.execute(f"SELECT pid FROM pg_stat_activity WHERE client_port = {socket.laddr.port}")
            named = f"session {session}"
    assert str(busy.value).startswith(f"{NAME}: {named} holds it, ")


def test_a_lock_is_of_its_database_alone(postgresql: Server) -> None:
    database, other = postgresql.make_database(), postgresql.make_database()
    for url in (database, other):
        migrate(url)
    with holder(other), locked(database, NAME), pytest.raises(LockBusyError) as busy, locked(database, NAME):
        pass
    assert str(busy.value).count("session") == 1


def test_one_that_was_killed_is_not_named_for_those_who_hold_it_later(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/control.db"
    migrate(database)
    with holder(database) as process:
        process.kill()
        process.wait()
    busy = pytest.raises(LockBusyError, match=f"{NAME}: a process that shares it holds it")
    with locked(database, NAME, shared=True), busy, locked(database, NAME):
        pass


def test_a_lock_is_waited_for_until_the_deadline_and_no_longer(database: str) -> None:
    with holder(database):
        begun = time.monotonic()
        assert not is_free(database, wait=timedelta(seconds=0.3))
        assert time.monotonic() - begun >= 0.3


def test_who_waits_gets_the_lock_when_it_is_given_back(database: str) -> None:
    with holder(database) as process:
        assert not is_free(database)
        waiting = threading.Thread(target=lambda: got.append(is_free(database, wait=SOON)))
        got: list[bool] = []
        waiting.start()
        go_on(process)
        waiting.join()
        assert got == [True]
        assert process.poll() is None, "it has given the lock back and goes on"


@pytest.mark.parametrize("mode", [(), ("shared",)], ids=["alone", "shared"])
def test_a_lock_is_dropped_when_its_process_is_killed(database: str, mode: tuple[str, ...]) -> None:
    with holder(database, *mode) as process:
        assert not is_free(database)
        os.kill(process.pid, signal.SIGKILL)
        assert is_free(database, wait=SOON)


def test_a_lock_gives_transactions_beside_which_no_other_writes(database: str) -> None:
    with locked(database, NAME) as transaction:
        with transaction() as connection:
            upsert(connection, SWITCHES, ROW)
        assert switches(database) == [ROW]
        with pytest.raises(IntegrityError), transaction() as connection:
            upsert(connection, SWITCHES, {**ROW, "paused": 0})
            connection.execute(insert(SWITCHES).values(**ROW))
        with writing(database) as connection:
            assert count(connection) == 1, "a lock keeps nobody from writing who does not ask for it"
    assert switches(database) == [ROW]


def test_a_lock_that_the_server_has_ended_writes_nothing_more_and_is_free(terminated: tuple[str, Any]) -> None:
    database, transaction = terminated
    with pytest.raises(UnreachableError), transaction() as connection:
        upsert(connection, SWITCHES, ROW)
    with pytest.raises(LockLostError), transaction() as connection:
        upsert(connection, SWITCHES, ROW)
    assert switches(database) == []
    assert is_free(database)


def test_a_lock_that_was_lost_unseen_is_said_at_its_end(terminated: tuple[str, Any]) -> None:
    database, _ = terminated
    assert is_free(database)


def test_a_transaction_of_a_lock_that_ends_in_the_middle_is_undone(postgresql: Server) -> None:
    database = postgresql.make_database()
    migrate(database)
    with pytest.raises(UnreachableError), locked(database, NAME) as transaction, transaction() as connection:
        upsert(connection, SWITCHES, ROW)
        postgresql.execute(f"SELECT pg_terminate_backend({session_of(connection)}, 5000)")
    assert switches(database) == []
    assert is_free(database)


@pytest.fixture
def sessions_after(server_of_the_tests: Server) -> Iterator[None]:
    """Set up before the database is, so torn down after it: no session of ours is left with it."""
    yield
    named = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname LIKE 'test_%'"
    deadline = time.monotonic() + 10
    while server_of_the_tests.execute(named) != [(0,)]:
        assert time.monotonic() < deadline, server_of_the_tests.execute(named)
        time.sleep(0.01)


@pytest.mark.usefixtures("sessions_after")
def test_the_tests_leave_no_session_open(request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgresql").make_database()
    migrate(database)
    with writing(database):
        pass
