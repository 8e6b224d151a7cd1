-- The newest observation known at an airport, with the rain and the change of pressure before it.
WITH known AS (
    SELECT
        instant, weather.*,
        row_number() OVER (PARTITION BY instant, weather.origin ORDER BY observed_at DESC) AS age
    FROM instants
    JOIN weather
        ON observed_at >= instant - INTERVAL 12 HOUR AND observed_at < instant AND known_from <= instant
)
SELECT
    instant, origin,
    max(temperature) FILTER (age = 1)::FLOAT AS weather_temperature,
    max(dew_point) FILTER (age = 1)::FLOAT AS weather_dew_point,
    max(humidity) FILTER (age = 1)::FLOAT AS weather_humidity,
    max(wind_direction) FILTER (age = 1)::FLOAT AS weather_wind_direction,
    max(wind_speed) FILTER (age = 1)::FLOAT AS weather_wind_speed,
    max(wind_gust) FILTER (age = 1)::FLOAT AS weather_wind_gust,
    max(precipitation) FILTER (age = 1)::FLOAT AS weather_precipitation,
    max(pressure) FILTER (age = 1)::FLOAT AS weather_pressure,
    max(visibility) FILTER (age = 1)::FLOAT AS weather_visibility,
    min(visibility) FILTER (age <= 6)::FLOAT AS weather_visibility_lowest_6h,
    max(precipitation) FILTER (age <= 6)::FLOAT AS weather_precipitation_highest_6h,
    max(wind_speed) FILTER (age <= 3)::FLOAT AS weather_wind_speed_highest_3h,
    (max(pressure) FILTER (age = 1) - max(pressure) FILTER (age = 4))::FLOAT AS weather_pressure_change_3h
FROM known
GROUP BY instant, origin
