"""Where the registry has nothing, nothing is released, scored or explained, and the sentence says what is missing."""

from pathlib import Path

import pytest
from sqlalchemy import select

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.database import reading
from infra.database.schema import releases
from infra.settings import Settings
from serving.errors import NothingToRelease, PackageRefused
from serving.explain import explain
from serving.prediction_log import PredictionLog
from serving.release import release
from serving.score import check_lengths, score
from tests.answering import answering
from tests.serving.installation import make_settings
from tests.serving.test_prediction_log import row

MISSING = '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}'


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def logged(folder: Path, *, mlflow_port: int) -> Settings:
    """An installation that has answered once."""
    settings = make_settings(folder / "var", mlflow_port=mlflow_port)
    with PredictionLog(settings.prediction_log, durability="write") as log:
        log.write([row(1, vector=str([0] * len(FLIGHT_DELAY.vector)))])
    return settings


def test_without_a_challenger_there_is_nothing_to_release_and_nothing_is_recorded(tmp_path: Path) -> None:
    with answering(404, MISSING) as url:
        settings = make_settings(tmp_path / "var", mlflow_port=port_of(url))
        with pytest.raises(NothingToRelease, match="no challenger; a training whose gate passes registers one"):
            release(FLIGHT_DELAY, settings)
    with reading(settings.database) as connection:
        assert connection.execute(select(releases)).all() == []


def test_a_version_that_the_registry_does_not_have_is_named(tmp_path: Path) -> None:
    with answering(404, MISSING) as url:
        settings = logged(tmp_path, mlflow_port=port_of(url))
        with pytest.raises(PackageRefused, match="knows no version 7 of flight_delay; MLflow lists those it has"):
            score(FLIGHT_DELAY, settings, version="7", out=tmp_path / "scores.parquet")
        with pytest.raises(PackageRefused, match="knows no version 1 of flight_delay; it was deleted there"):
            explain("id-1", settings)
    assert not (tmp_path / "scores.parquet").exists()


def test_vectors_logged_under_another_contract_are_not_scored_by_their_place() -> None:
    whole: list[float | int | str | None] = [None for _ in FLIGHT_DELAY.vector]
    check_lengths(FLIGHT_DELAY, [whole, whole])
    with pytest.raises(ValueError, match=rf"a logged vector has {len(whole) + 1} values, the contract {len(whole)}"):
        check_lengths(FLIGHT_DELAY, [whole, [*whole, 1.0]])
