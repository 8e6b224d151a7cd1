"""How the model of rain is trained: small, since there is little to learn from."""

from datetime import timedelta

from feature_repo.contracts.rain_ahead import RAIN_AHEAD
from training.spec import AdmissionSpec, FitSpec, GateSpec, ModelSpec, SplitSpec, TrainingSpec

TRAINING = TrainingSpec(
    contract=RAIN_AHEAD,
    model=ModelSpec(hidden=(32,), num_members=2),
    fit=FitSpec(num_epochs=12, batch_size=128, learning_rate=3e-3),
    split=SplitSpec(held_out=timedelta(days=7), min_rows=500, min_rows_per_class=50),
    gate=GateSpec(slices=("asked_airport",), max_calibration_error=0.1),
    admission=AdmissionSpec(cool_down=timedelta(days=7), budget=2, budget_period=timedelta(days=30)),
)
