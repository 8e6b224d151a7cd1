"""What is kept of an ingested interval, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.quality import record, record_failure, table_of
from feature_repo.validation import Report
from infra.database import writing

START = datetime(2013, 2, 8, tzinfo=UTC)
FIRST = DataInterval(start=START, end=START + timedelta(days=1))
SECOND = DataInterval(start=FIRST.end, end=FIRST.end + timedelta(days=1))
REPORT = Report(
    num_rows=200,
    num_clean=190,
    num_quarantined=10,
    num_repeats=0,
    num_warned=3,
    rows_by_rule={"format:origin": 10},
    warnings=("silent [for] 3:00:00",),
)


def lines(database: str) -> list[str]:
    printed = StringIO()
    Console(width=200, file=printed).print(table_of(database, FLIGHT_DELAY))
    return [line for line in printed.getvalue().splitlines() if "2013" in line]


def test_a_rerun_replaces_what_the_run_before_found(database: str) -> None:
    record_failure(database, "flight_delay", "flights", SECOND, "delivered nothing")
    record_failure(database, "flight_delay", "flights", FIRST, "delivered nothing")
    with writing(database) as connection:
        for owner in ("flight_delay", "another"):
            record(connection, owner, "flights", FIRST, REPORT)
    first, second = lines(database)
    assert [cell.strip() for cell in first.split("│")[4:8]] == ["200", "10", "3", "0.9500"]
    assert "format:origin 10, silent [for] 3:00:00" in first
    assert "refused" in second
    assert "delivered nothing" in second
