"""What cannot be explained is said: an unknown id, a contract that has changed, a registry that is away."""

import time
from pathlib import Path

import pytest

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.settings import Settings
from serving.errors import RegistryUnavailable, UnknownPrediction
from serving.explain import explain
from serving.prediction_log import PredictionLog
from tests.serving.installation import make_settings
from tests.serving.test_prediction_log import ROW, row


@pytest.mark.parametrize("log", ["missing", "without a byte", "without a row"])
def test_an_unknown_id_is_said_whatever_log_there_is(tmp_path: Path, log: str) -> None:
    settings = Settings(data_dir=tmp_path)
    if log == "without a byte":
        settings.prediction_log.touch()
    elif log == "without a row":
        PredictionLog(settings.prediction_log, durability="write").close()
    with pytest.raises(UnknownPrediction, match=r"no prediction 'x' in .*; give the id of an answer"):
        explain("x", settings)


def test_a_vector_of_another_contract_is_said(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with PredictionLog(settings.prediction_log, durability="write") as log:
        log.write([ROW])
    with pytest.raises(ValueError, match=r"flight_delay: the logged vector has 0 values, the contract \d+;"):
        explain("id", settings)


def test_a_registry_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "var")
    with PredictionLog(settings.prediction_log, durability="write") as log:
        log.write([row(1, vector=str([0] * len(FLIGHT_DELAY.vector)))])
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="the registry did not answer"):
        explain("id-1", settings)
    assert time.monotonic() - begun < 5
