"""What is kept of an ingested interval, on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.quality import lines_of, record, record_failure
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


def test_a_rerun_replaces_what_the_run_before_found(database: str) -> None:
    record_failure(database, "flight_delay", "flights", SECOND, "delivered nothing")
    record_failure(database, "flight_delay", "flights", FIRST, "delivered nothing")
    with writing(database) as connection:
        for owner in ("flight_delay", "another"):
            record(connection, owner, "flights", FIRST, REPORT)
    assert lines_of(database, FLIGHT_DELAY) == [
        "source   start             end               rows  bad  warned  score",
        "flights  2013-02-08 00:00  2013-02-09 00:00   200   10       3  0.9500",
        "    format:origin 10, silent [for] 3:00:00",
        "flights  2013-02-09 00:00  2013-02-10 00:00     0    0       0  refused",
        "    delivered nothing",
    ]


def test_an_interval_without_a_finding_is_one_line_that_fits_a_terminal(database: str) -> None:
    with writing(database) as connection:
        for source in ("flights", "weather"):
            clean = replace(REPORT, num_rows=1_000_000, rows_by_rule={}, warnings=())
            record(connection, "flight_delay", source, FIRST, clean)
    shown = lines_of(database, FLIGHT_DELAY)
    assert [line.split()[0] for line in shown] == ["source", "flights", "weather"]
    assert max(map(len, shown)) <= 80


def test_before_the_first_ingest_that_is_said(database: str) -> None:
    assert lines_of(database, FLIGHT_DELAY) == ["flight_delay: no interval was ingested yet"]
