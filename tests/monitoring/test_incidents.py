"""From an alarm to the end of its episode in the database that the layers share, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import Cause, IncidentState, TrainingState
from infra.clock import to_microseconds
from infra.database import reading, schema, upsert, writing
from monitoring.decision import Alarm
from monitoring.history import IncidentRow, read_history
from monitoring.incidents import num_unclaimed, raise_alarm, settle_quiet
from monitoring.spec import Severity

NOW = datetime(2013, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = DataInterval(start=NOW - 14 * DAY, end=NOW)


def alarm(severity: Severity = Severity.P2, *, group: str = "performance", retrain: bool = True) -> Alarm:
    return Alarm(group=group, severity=severity, cause=Cause.PERFORMANCE, reason=f"skill {severity}", retrain=retrain)


def raised(database: str, found: Alarm, now: datetime = NOW, served: str = "t1") -> str:
    with writing(database) as connection:
        return raise_alarm(connection, "u", found, window=WINDOW, served_training=served, now=now, wall=now)


def settled(database: str, *, served: str, now: datetime = NOW + 30 * DAY) -> list[str]:
    with writing(database) as connection:
        return settle_quiet(connection, "u", quiet=["performance", "drift"], served_training=served, now=now)


def trained(database: str, name: str, state: TrainingState, *, admitted_at: datetime = NOW) -> None:
    """A training that has claimed the inbox and ended."""
    row = {"training_id": name, "use_case": "u", "state": state, "admitted_at": to_microseconds(admitted_at)}
    with writing(database) as connection:
        connection.execute(insert(schema.trainings).values(**row, admitted_at_wall=0, reason=""))
        connection.execute(update(schema.inbox).values(claimed_by=name))
        connection.execute(update(schema.incidents).values(state=IncidentState.TRAINING, training_id=name))


def incidents(database: str) -> list[IncidentRow]:
    return read_history(database, "u").incidents


def test_an_alarm_that_goes_on_is_one_incident_whose_severity_only_rises(database: str) -> None:
    severities = (Severity.P2, Severity.P1, Severity.P3)
    identities = {raised(database, alarm(severity)) for severity in severities}
    (incident,) = incidents(database)
    assert identities == {incident.incident_id}
    assert (incident.severity, incident.reason) == ("P1", "skill P3")
    assert num_unclaimed(database, "u") == 1


@pytest.mark.parametrize(
    ("state", "asks_again"),
    [(TrainingState.OPEN, 0), (TrainingState.PASSED, 0), (TrainingState.GATE_REFUSED, 1), (TrainingState.FAILED, 1)],
)
def test_a_training_is_asked_for_once_more_after_one_in_vain(
    database: str, state: TrainingState, asks_again: int
) -> None:
    raised(database, alarm())
    trained(database, "t2", state)
    raised(database, alarm(), NOW + DAY)
    assert num_unclaimed(database, "u") == asks_again
    assert incidents(database)[0].state == (IncidentState.OPEN if asks_again else IncidentState.TRAINING)


def test_a_training_whose_version_serves_and_alarms_was_in_vain(database: str) -> None:
    raised(database, alarm())
    trained(database, "t2", TrainingState.PASSED)
    raised(database, alarm(), NOW + DAY, served="t2")
    assert num_unclaimed(database, "u") == 1


def test_a_quiet_window_resolves_what_the_served_training_answered(database: str) -> None:
    identity = raised(database, alarm())
    trained(database, "t2", TrainingState.PASSED)
    assert settled(database, served="t1") == []
    assert settled(database, served="t2") == [identity]
    assert settled(database, served="t2") == []
    assert incidents(database)[0].state == IncidentState.RESOLVED


def test_a_quiet_window_closes_what_nothing_has_answered_and_takes_it_from_the_inbox(database: str) -> None:
    asked, unasked = raised(database, alarm()), raised(database, alarm(group="drift", retrain=False))
    assert settled(database, served="t1") == [asked, unasked]
    assert [incident.state for incident in incidents(database)] == [IncidentState.CLOSED] * 2
    assert num_unclaimed(database, "u") == 0
    with reading(database) as connection:
        assert connection.execute(select(schema.inbox)).all() == []


def test_a_history_is_of_one_use_case_and_tells_that_it_is_paused(database: str) -> None:
    raised(database, alarm())
    assert not read_history(database, "u").paused
    with writing(database) as connection:
        upsert(connection, schema.switches, {"use_case": "u", "paused": 1, "reason": "r", "updated_at_wall": 0})
    history = read_history(database, "u")
    assert (history.paused, history.num_waiting, len(history.incidents)) == (True, 1, 1)
    other = read_history(database, "another")
    assert (other.paused, other.num_waiting, other.incidents) == (False, 0, [])
