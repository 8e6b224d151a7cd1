import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.local.client import Answer
from infra.local.ledger import Ledger, Round, rounds_of
from infra.local.schedule import PlannedRequest

START = datetime(2013, 4, 1, tzinfo=UTC)
ROUND = Round(number=0, start=START, end=START + timedelta(days=14))
REQUEST = PlannedRequest(number=0, asked_at=0, entity=("UA", 1, "EWR", 5), body=b"{}")


def answer(key: str, *, failure: str | None = None) -> Answer:
    return Answer(key=key, replayed=False, sent_at_wall=1, latency_seconds=0.5, failure=failure)


def test_every_request_is_kept_with_its_failure_and_its_simulated_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.begin_round(ROUND)
        ledger.record(ROUND, [(REQUEST, START, answer("a")), (REQUEST, START, answer("b", failure="timeout"))])
    rows = sqlite3.connect(tmp_path / "ledger.db").execute(
        "SELECT key, round, requested_at, carrier, scheduled_departure, failure FROM requests ORDER BY sequence"
    )
    moment = 1364774400 * 10**6
    assert rows.fetchall() == [("a", 0, moment, "UA", 5, None), ("b", 0, moment, "UA", 5, "timeout")]


def test_a_request_counted_twice_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.begin_round(ROUND)
        with pytest.raises(sqlite3.IntegrityError):
            ledger.record(ROUND, [(REQUEST, START, answer("a")), (REQUEST, START, answer("a"))])


def test_rounds_come_back_as_they_were_begun(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.begin_round(ROUND)
        ledger.workflows_ran(ROUND, began_wall=10.0, ended_wall=12.5)
        assert rounds_of(ledger.connection) == [ROUND]
        times = ledger.connection.execute("SELECT workflows_began_wall, workflows_ended_wall FROM rounds")
        assert times.fetchone() == (10_000_000, 12_500_000)


def test_a_round_in_which_nobody_asked_is_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.begin_round(ROUND)
        ledger.record(ROUND, [])
        assert rounds_of(ledger.connection) == [ROUND]
        assert ledger.connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
