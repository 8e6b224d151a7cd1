"""A refused version and a release in the database that the layers share, on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from feature_repo.contracts.control import IncidentState
from infra.database import reading, schema, writing
from infra.settings import Settings
from serving.incidents import open_refusal, refusal_of
from serving.registry import ModelVersion
from serving.release import record_alias, record_served, unfinished_release
from tests.at_database import AtDatabase

NOW = datetime(2013, 7, 1, tzinfo=UTC)


def version(number: str, **tags: str) -> ModelVersion:
    return ModelVersion(name="flight_delay", version=number, run_id="run", tags=tags, created_at_milliseconds=1)


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return AtDatabase(data_dir=tmp_path, address=database)


def open_incident(database: str, name: str, *, state: IncidentState, training_id: str | None) -> None:
    texts = dict.fromkeys(("use_case", "alert_group", "severity", "cause", "reason"), "x")
    times = dict.fromkeys(("opened_at", "opened_at_wall", "updated_at"), 0)
    row = {**texts, **times, "incident_id": name, "state": state, "training_id": training_id}
    with writing(database) as connection:
        connection.execute(insert(schema.incidents).values(**row))


def states(database: str) -> dict[str, tuple[str, str | None]]:
    with reading(database) as connection:
        return {row.incident_id: (row.state, row.model_version) for row in connection.execute(select(schema.incidents))}


def test_a_version_that_is_refused_again_and_again_is_one_incident_with_its_first_reason(database: str) -> None:
    first = open_refusal(database, version("3"), "signature", now=NOW)
    assert open_refusal(database, version("3"), "another", now=NOW) == first
    assert states(database) == {first: ("open", "3")}
    assert refusal_of(database, "flight_delay", "3") == "signature"
    assert refusal_of(database, "flight_delay", "4") is None


def test_a_release_that_ended_early_is_found_and_ended_with_the_incidents_that_asked_for_it(settings: Settings) -> None:
    challenger, database = version("3", training_id="t"), settings.database
    open_incident(database, "asked", state=IncidentState.GATED, training_id="t")
    open_incident(database, "closed", state=IncidentState.CLOSED, training_id="t")
    open_incident(database, "other", state=IncidentState.GATED, training_id="u")
    assert unfinished_release(settings, challenger) is None
    begun = record_alias(settings, challenger, 100, "better")
    assert unfinished_release(settings, challenger) == begun
    assert unfinished_release(settings, version("4")) is None

    record_served(settings, begun.release_id, challenger, 200)

    assert unfinished_release(settings, challenger) is None
    assert states(database) == {"asked": ("released", "3"), "closed": ("closed", None), "other": ("gated", None)}


def test_a_version_that_no_training_made_answers_no_incident(settings: Settings) -> None:
    open_incident(settings.database, "unasked", state=IncidentState.GATED, training_id=None)
    begun = record_alias(settings, version("3"), 100, "by hand")
    record_served(settings, begun.release_id, version("3"), 200)
    assert states(settings.database) == {"unasked": ("gated", None)}
