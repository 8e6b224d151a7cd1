"""The prediction service of rain_ahead."""

import bentoml

from feature_repo.contracts.rain_ahead import RAIN_AHEAD
from serving.schema import Answer, Answers, batch_model, request_model
from serving.service import QUIET, Predictions, PredictionService

RainAheadRequest = request_model(RAIN_AHEAD)
RainAheadBatch = batch_model(RAIN_AHEAD)


@bentoml.service(name=RAIN_AHEAD.name, service_class=PredictionService, **QUIET)
class RainAhead(Predictions):
    use_case = RAIN_AHEAD

    @bentoml.api(input_spec=RainAheadRequest)  # type: ignore[untyped-decorator]
    async def predict(self, **request: object) -> Answer:
        """Will it rain within three hours? Ask on the hour."""
        return await self.answer(request)

    @bentoml.api(input_spec=RainAheadBatch)  # type: ignore[untyped-decorator]
    async def predict_batch(self, **batch: object) -> Answers:
        """The same for up to 1000 airports and hours, answered in order."""
        return await self.answer_batch(batch)
