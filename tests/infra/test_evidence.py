"""What the report reads of the database that the layers share, on SQLite and PostgreSQL."""

import json
from pathlib import Path

import pytest
from sqlalchemy import insert

from infra.database import schema, writing
from infra.local.evidence import (
    Places,
    ReleasedVersion,
    TrainingOutcome,
    read_judgements,
    read_releases,
    read_trainings,
)
from tests.at_database import AtDatabase

GATE = {"difference": 0.02}
RESULT = {"decision": "retrain", "reason": "r", "weighted_drift": 0.6, "weighted_drift_threshold": 0.4}


@pytest.fixture
def places(database: str, tmp_path: Path) -> Places:
    """A training that two incidents asked for, its release, a release by hand, and a judged window."""
    incident = dict.fromkeys(("use_case", "alert_group", "severity", "state", "reason", "training_id"), "u")
    training = {"training_id": "u", "use_case": "u", "state": "passed", "run_id": "run", "outcome": "better"}
    release = {"use_case": "u", "set_by": "release", "reason": ""}
    with writing(database) as connection:
        for name, cause, wall in (("late", "drift", 9), ("early", "performance", 5)):
            row = {"incident_id": name, "cause": cause, "opened_at": 0, "opened_at_wall": wall, "updated_at": 0}
            connection.execute(insert(schema.incidents).values(**incident, **row))
        row = {"admitted_at": 0, "admitted_at_wall": 6, "gate": json.dumps(GATE), "reason": ""}
        connection.execute(insert(schema.trainings).values(**training, **row))
        for name, training_id, at in (("b", None, 20), ("a", "u", 10)):
            row = {"release_id": name, "model_version": name, "training_id": training_id, "alias_set_at_wall": at}
            connection.execute(insert(schema.releases).values(**release, **row))
        window = {"use_case": "u", "window_start": 0, "window_end": 1, "result": json.dumps(RESULT)}
        connection.execute(insert(schema.monitoring_results).values(**window))
    return Places(settings=AtDatabase(data_dir=tmp_path, address=database), use_case="u", feed=tmp_path)


def test_a_release_has_the_first_incident_that_asked_for_it(places: Places) -> None:
    by_alarm, by_hand = read_releases(places)
    assert by_alarm == ReleasedVersion(
        incident="early",
        alarmed_at_wall=5,
        cause="performance",
        run="run",
        version="a",
        gate=GATE,
        alias_set_at_wall=10,
        served_at_wall=None,
    )
    assert (by_hand.version, by_hand.incident, by_hand.run, by_hand.gate) == ("b", None, None, {})


def test_a_training_has_its_first_cause_and_a_window_its_judgement(places: Places) -> None:
    assert read_trainings(places) == [TrainingOutcome(state="passed", outcome="better", cause="performance")]
    (judged,) = read_judgements(places)
    assert judged.drift == pytest.approx(1.5)
    assert (judged.decision, judged.window_end.microsecond) == ("retrain", 1)
