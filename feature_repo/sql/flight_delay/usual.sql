-- The delay that is usual for an origin and a scheduled hour, in whole seconds, over what left in 28 days.
SELECT
    instant, origin, hour(scheduled_departure) AS scheduled_hour,
    (sum(delay_minutes::BIGINT) * 60 // count(*))::BIGINT AS delay_seconds
FROM instants
JOIN flights
    ON event_time >= instant - INTERVAL 28 DAY AND event_time < instant AND known_from <= instant
WHERE event = 'departed'
GROUP BY ALL
