"""How the answers about rain are watched."""

from datetime import timedelta

from feature_repo.contracts.rain_ahead import RAIN_AHEAD
from monitoring.spec import DriftPolicy, MonitoringSpec, PerformancePolicy, WindowPolicy

MONITORING = MonitoringSpec(
    contract=RAIN_AHEAD,
    owner_of_data="weather-data",
    runbook="README.md#when-an-alert-fires",
    window=WindowPolicy(length=timedelta(days=3), min_rows=150, min_days=3),
    performance=PerformancePolicy(block_days=3),
    # The air is all there is, and it changes by itself: only the loss may ask for a retraining.
    drift=DriftPolicy(exempt=("rain_", "dew_point_", "asked_"), block_days=3),
)
