-- The newest observation known at an airport, with the rain and the change of pressure before it.
WITH newest AS (
    SELECT
        instant, weather.origin,
        arg_max({
            'temperature': temperature, 'dew_point': dew_point, 'humidity': humidity, 'wind_direction': wind_direction,
            'wind_speed': wind_speed, 'wind_gust': wind_gust, 'precipitation': precipitation, 'pressure': pressure,
            'visibility': visibility
        }, observed_at, 6) AS readings
    FROM instants
    JOIN weather
        ON observed_at >= instant - INTERVAL 12 HOUR AND observed_at < instant AND known_from <= instant
    GROUP BY instant, weather.origin
)
SELECT
    instant, origin,
    readings[1].temperature AS weather_temperature,
    readings[1].dew_point AS weather_dew_point,
    readings[1].humidity AS weather_humidity,
    readings[1].wind_direction AS weather_wind_direction,
    readings[1].wind_speed AS weather_wind_speed,
    readings[1].wind_gust AS weather_wind_gust,
    readings[1].precipitation AS weather_precipitation,
    readings[1].pressure AS weather_pressure,
    readings[1].visibility AS weather_visibility,
    list_min([reading.visibility FOR reading IN readings]) AS weather_visibility_lowest_6h,
    list_max([reading.precipitation FOR reading IN readings]) AS weather_precipitation_highest_6h,
    list_max([reading.wind_speed FOR reading IN readings[:3]]) AS weather_wind_speed_highest_3h,
    readings[1].pressure - readings[4].pressure AS weather_pressure_change_3h
FROM newest
