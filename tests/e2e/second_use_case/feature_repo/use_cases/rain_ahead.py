"""What rain_ahead reads and how its features are computed; its one source is flight_delay's."""

from datetime import timedelta

from feature_repo.contracts.rain_ahead import RAIN_AHEAD
from feature_repo.transforms import Transforms
from feature_repo.use_cases.flight_delay import WEATHER

# The newest 6 hours that were known, and the change of pressure in 3.
AIRPORT_RAIN = """
SELECT
    instant, origin AS airport,
    count(*) FILTER (precipitation > 0) AS rain_hours_6h,
    max(precipitation) FILTER (age <= 3) AS rain_precipitation_3h,
    max(humidity) FILTER (age = 1) AS rain_humidity,
    max(temperature) FILTER (age = 1) AS rain_temperature,
    max(dew_point) FILTER (age = 1) AS rain_dew_point,
    max(pressure) FILTER (age = 1) - max(pressure) FILTER (age = 4) AS rain_pressure_change_3h,
    max(visibility) FILTER (age = 1) AS rain_visibility
FROM (
    SELECT instant, weather.*, row_number() OVER (PARTITION BY instant, origin ORDER BY observed_at DESC) AS age
    FROM instants
    JOIN weather ON observed_at >= instant - INTERVAL 8 HOUR AND observed_at < instant AND known_from <= instant
)
WHERE age <= 6
GROUP BY instant, origin
"""

# An airport can be asked about every hour for which it had reported two hours before.
POPULATION = """
SELECT origin AS airport, observed_at + INTERVAL 2 HOUR AS hour, hour AS prediction_time
FROM weather
"""

# Known when the last of the three hours was reported; with a report missing there is no label.
LABELS = """
SELECT
    asked.origin AS airport, asked.observed_at + INTERVAL 2 HOUR AS hour,
    (max(later.precipitation) > 0)::BIGINT AS label, 'observed' AS outcome, max(later.delivered_at) AS known_at
FROM weather AS asked
JOIN weather AS later
    ON later.origin = asked.origin
    AND later.observed_at > asked.observed_at + INTERVAL 2 HOUR
    AND later.observed_at <= asked.observed_at + INTERVAL 5 HOUR
GROUP BY asked.origin, asked.observed_at
HAVING count(later.precipitation) = 3
"""

SOURCES = (WEATHER,)
TRANSFORMS = Transforms(
    contract=RAIN_AHEAD,
    history=timedelta(days=1),
    texts={"airport_rain": AIRPORT_RAIN, "population": POPULATION, "labels": LABELS},
)
