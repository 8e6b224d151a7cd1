"""The prediction service of flight_delay: its request, its answer, its endpoints."""

import bentoml

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from serving.schema import Answer, Answers, batch_model, request_model
from serving.service import QUIET, Predictions, PredictionService

FlightDelayRequest = request_model(FLIGHT_DELAY)
FlightDelayBatch = batch_model(FLIGHT_DELAY)


@bentoml.service(name=FLIGHT_DELAY.name, service_class=PredictionService, **QUIET)
class FlightDelay(Predictions):
    use_case = FLIGHT_DELAY

    @bentoml.api(input_spec=FlightDelayRequest)  # type: ignore[untyped-decorator]
    async def predict(self, **request: object) -> Answer:
        """Will this flight arrive 15 minutes late or more? Ask two hours before its scheduled departure."""
        return await self.answer(request)

    @bentoml.api(input_spec=FlightDelayBatch)  # type: ignore[untyped-decorator]
    async def predict_batch(self, **batch: object) -> Answers:
        """The same for up to 1000 flights, answered in order."""
        return await self.answer_batch(batch)
