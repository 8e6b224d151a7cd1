"""How the model of flight delays is trained, and what a retrained one must show before it may be released."""

from datetime import timedelta

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from training.spec import AdmissionSpec, FitSpec, GateSpec, ModelSpec, SplitSpec, TrainingSpec

TRAINING = TrainingSpec(
    contract=FLIGHT_DELAY,
    # The instant itself only grows: the model sees it as slack against the scheduled departure.
    model=ModelSpec(excluded=("aircraft_back_at",)),
    fit=FitSpec(),
    split=SplitSpec(held_out=timedelta(days=7), min_rows=20_000, min_rows_per_class=500),
    gate=GateSpec(slices=("flight_origin", "flight_carrier")),
    admission=AdmissionSpec(cool_down=timedelta(days=10), budget=8, budget_period=timedelta(days=90)),
)
