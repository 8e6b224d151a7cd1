"""Who may start a training, and who may not: one at a time, not too often, never on defective data."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from feature_repo.contracts.control import Cause, IncidentState, TrainingState, incident_id
from infra.clock import to_microseconds
from infra.database import reading, schema, writing
from training.admission import Admission, admit, switch
from training.control import end, incidents_of, trainings
from training.errors import NotAdmitted
from training.spec import TrainingSpec
from training.use_cases.flight_delay import TRAINING

NOW = datetime(2013, 5, 1, 12, tzinfo=UTC)
NAME = TRAINING.contract.name


def alarm(database: str, at: datetime, cause: Cause = Cause.PERFORMANCE, *, asks: bool = True) -> str:
    identity = incident_id(NAME, f"{cause}", at)
    row = {
        "incident_id": identity,
        "use_case": NAME,
        "alert_group": cause,
        "severity": "P2",
        "cause": cause,
        "opened_at": to_microseconds(at),
        "opened_at_wall": to_microseconds(at),
        "state": IncidentState.OPEN,
        "reason": "skill fell",
        "updated_at": to_microseconds(at),
    }
    entry = {"incident_id": identity, "use_case": NAME, "requested_at": to_microseconds(at)}
    with writing(database) as connection:
        connection.execute(insert(schema.incidents).values(**row))
        if asks:
            connection.execute(insert(schema.inbox).values(**entry))
    return identity


def try_to_admit(database: str, now: datetime = NOW, *, spec: TrainingSpec = TRAINING) -> Admission:
    return admit(database, spec, now=now, wall=now)


def finish(database: str, training_id: str, now: datetime, state: TrainingState = TrainingState.PASSED) -> None:
    assert end(database, training_id, state, "done", now=now)


def incident(database: str, identity: str) -> tuple[str, str, str | None]:
    columns = schema.incidents.c
    query = select(columns.state, columns.outcome, columns.training_id).where(columns.incident_id == identity)
    with reading(database) as connection:
        state, outcome, training_id = connection.execute(query).one()
    return state, outcome, training_id


@pytest.mark.parametrize("reason", ["", " "])
def test_a_person_gives_a_reason(database: str, reason: str) -> None:
    with pytest.raises(ValueError, match="the reason is empty; say why"):
        admit(database, TRAINING, now=NOW, wall=NOW, requested=reason)
    with pytest.raises(ValueError, match="the reason is empty; say why"):
        switch(database, NAME, paused=True, reason=reason, wall=NOW)
    with reading(database) as connection:
        for table in (schema.incidents, schema.switches):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_many_incidents_start_one_training(database: str) -> None:
    identities = {alarm(database, NOW - timedelta(hours=hour)) for hour in range(3)}
    admission = try_to_admit(database)
    assert admission.is_new
    assert set(incidents_of(database, admission.training_id)) == identities
    assert {incident(database, identity)[0] for identity in identities} == {IncidentState.TRAINING}


def test_with_an_empty_inbox_nothing_starts(database: str) -> None:
    with pytest.raises(NotAdmitted, match="nothing waits"):
        try_to_admit(database)


def test_a_second_admission_goes_on_with_the_open_training(database: str) -> None:
    alarm(database, NOW)
    first = try_to_admit(database)
    late = alarm(database, NOW, Cause.DRIFT)
    second = try_to_admit(database)
    assert (second.training_id, second.is_new) == (first.training_id, False)
    assert incident(database, late)[0] == IncidentState.OPEN


def test_of_many_admissions_at_once_one_opens_the_training(database: str) -> None:
    alarm(database, NOW)
    admissions: list[Admission] = []
    threads = [threading.Thread(target=lambda: admissions.append(try_to_admit(database))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({admission.training_id for admission in admissions}) == 1
    assert sum(admission.is_new for admission in admissions) == 1


def test_the_cool_down_refuses_with_its_reason_and_claims_nothing(database: str) -> None:
    alarm(database, NOW)
    finish(database, try_to_admit(database).training_id, NOW)
    soon = NOW + TRAINING.admission.cool_down - timedelta(seconds=1)
    waiting = alarm(database, soon)
    with pytest.raises(NotAdmitted, match="cool-down"):
        try_to_admit(database, soon)
    state, outcome, training_id = incident(database, waiting)
    assert (state, training_id) == (IncidentState.REFUSED, None)
    assert "cool-down" in outcome
    assert try_to_admit(database, soon + timedelta(seconds=1)).incidents == (waiting,)


def test_why_a_training_was_asked_for_stays_beside_what_came_of_it(database: str) -> None:
    switch(database, NAME, paused=True, reason="holiday", wall=NOW)
    asked = alarm(database, NOW)
    with pytest.raises(NotAdmitted):
        try_to_admit(database)
    switch(database, NAME, paused=False, reason="", wall=NOW)
    training_id = try_to_admit(database).training_id
    assert incident(database, asked)[1] == ""
    finish(database, training_id, NOW)
    with reading(database) as connection:
        (training,) = trainings(connection, NAME)
    assert (training.reason, training.outcome) == ("skill fell", "done")
    assert incident(database, asked)[1] == "done"


def test_the_budget_of_a_period_can_be_spent(database: str) -> None:
    now, rules = NOW, TRAINING.admission
    for _ in range(rules.budget):
        alarm(database, now)
        finish(database, try_to_admit(database, now).training_id, now, TrainingState.GATE_REFUSED)
        now += rules.cool_down
    alarm(database, now)
    with pytest.raises(NotAdmitted, match="budget"):
        try_to_admit(database, now)
    assert try_to_admit(database, NOW + rules.budget_period).is_new


def test_paused_means_that_nothing_starts(database: str) -> None:
    switch(database, NAME, paused=True, reason="holiday", wall=NOW)
    alarm(database, NOW)
    with pytest.raises(NotAdmitted, match="holiday"):
        try_to_admit(database)
    switch(database, NAME, paused=False, reason="", wall=NOW)
    assert try_to_admit(database).is_new


def test_real_drift_together_with_a_defect_of_the_data_starts_nothing(database: str) -> None:
    drift = alarm(database, NOW, Cause.DRIFT)
    defect = alarm(database, NOW, Cause.DATA_DEFECT, asks=False)
    with pytest.raises(NotAdmitted, match=defect):
        try_to_admit(database)
    assert incident(database, drift)[0] == IncidentState.REFUSED
    assert incident(database, defect)[0] == IncidentState.OPEN
    with writing(database) as connection:
        of_defect = schema.incidents.c.incident_id == defect
        connection.execute(update(schema.incidents).where(of_defect).values(state=IncidentState.CLOSED))
    assert try_to_admit(database).incidents == (drift,)


def test_a_defect_alone_never_starts_a_training_even_if_it_stands_in_the_inbox(database: str) -> None:
    alarm(database, NOW, Cause.DATA_DEFECT)
    with pytest.raises(NotAdmitted, match="nothing waits"):
        try_to_admit(database)


def test_the_first_model_needs_no_alarm_but_is_trained_once(database: str) -> None:
    first = admit(database, TRAINING, now=NOW, wall=NOW, bootstrap=True)
    finish(database, first.training_id, NOW)
    with pytest.raises(NotAdmitted, match="passed its gate already"):
        admit(database, TRAINING, now=NOW, wall=NOW, bootstrap=True)


def test_a_person_does_not_wait_for_the_cool_down(database: str) -> None:
    alarm(database, NOW)
    finish(database, try_to_admit(database).training_id, NOW)
    asked = admit(database, TRAINING, now=NOW, wall=NOW, requested="new aircraft types")
    assert asked.is_new
    assert len(incidents_of(database, asked.training_id)) == 1


@pytest.mark.parametrize(
    ("state", "followed_by"),
    [(TrainingState.PASSED, IncidentState.GATED), (TrainingState.GATE_REFUSED, IncidentState.REFUSED)],
)
def test_incidents_follow_the_end_of_their_training_once(
    database: str, state: TrainingState, followed_by: IncidentState
) -> None:
    identity = alarm(database, NOW)
    training_id = try_to_admit(database).training_id
    assert end(database, training_id, state, "because", now=NOW)
    assert incident(database, identity)[:2] == (followed_by, "because")
    assert not end(database, training_id, TrainingState.FAILED, "again", now=NOW)
