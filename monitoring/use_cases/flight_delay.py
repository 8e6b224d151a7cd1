"""How the answers about flight delays are watched."""

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from monitoring.spec import DriftPolicy, MonitoringSpec, PerformancePolicy, WindowPolicy

MONITORING = MonitoringSpec(
    contract=FLIGHT_DELAY,
    owner_of_data="flight-data",
    runbook="README.md#when-an-alert-fires",
    window=WindowPolicy(min_rows=500, min_days=10),
    # One false alarm in a year of fortnights.
    performance=PerformancePolicy(budget=1 / 26, min_drop=0.02),
    drift=DriftPolicy(
        # The calendar and the weather change by themselves; an aircraft's time of return is a point in time.
        exempt=("departure_", "weather_", "aircraft_back_at"),
        budget=0.005,
    ),
)
