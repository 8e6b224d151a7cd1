"""The control of the durability test: a service that acknowledges first and writes a little later."""

import threading
from collections.abc import Sequence

import bentoml

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from serving.prediction_log import LoggedPrediction, PredictionLog
from serving.service import QUIET, Predictions, PredictionService

LATER_SECONDS = 0.05


class LateLog(PredictionLog):
    """Rows wait in memory before they are written."""

    def write(self, predictions: Sequence[LoggedPrediction]) -> None:
        threading.Timer(LATER_SECONDS, super().write, (predictions,)).start()


@bentoml.service(name=FLIGHT_DELAY.name, service_class=PredictionService, **QUIET)
class FlightDelay(Predictions):
    use_case = FLIGHT_DELAY
    log_class = LateLog
