-- What has happened or should have, as known at each instant; a view sums it up by its keys. Kinds of rows:
--   departed   left in the last 24 hours; `surplus_seconds` is the delay beyond the usual one
--   arrived    landed in the last 24 hours; `surplus_seconds` is the time under way beyond the planned one
--   due        should have left in the last 4 hours; `missing` if it has not, `delay` since when
--   planned    should leave in the next 3 hours
--   dropped    should have left today, more than 3 hours ago; `missing` if it was cancelled
--   week       arrivals of 168 hours by carrier and destination: `num`, and the sums `delay` and `num_late`
SELECT
    'departed' AS kind, instant, origin, carrier, destination, departed_at AS happened_at, departed_at >= day_start AS today,
    departure_delay AS delay, departure_delay * 60 - delay_seconds AS surplus_seconds, false AS missing,
    1 AS num, (departure_delay >= 15)::BIGINT AS num_late
FROM days
JOIN legs
    ON departed_at >= instant - INTERVAL 24 HOUR AND departed_at < instant
    AND departed_known <= instant AND scheduled_known <= instant
LEFT JOIN usual USING (instant, origin)
WHERE scheduled_hour = hour(scheduled_departure)
UNION ALL
SELECT
    'arrived', instant, origin, carrier, destination, arrived_at, arrived_at >= day_start,
    arrival_delay, CASE WHEN departed_known <= instant THEN (arrival_delay - departure_delay) * 60 END, false,
    1, (arrival_delay >= 15)::BIGINT
FROM days
JOIN legs
    ON arrived_at >= instant - INTERVAL 24 HOUR AND arrived_at < instant
    AND arrived_known <= instant AND scheduled_known <= instant
UNION ALL
SELECT
    'due', instant, origin, carrier, destination, scheduled_departure, true,
    date_diff('minute', scheduled_departure, instant), NULL,
    coalesce(least(departed_known, cancelled_known) > instant, true), 1, 0
FROM instants
JOIN legs
    ON scheduled_departure >= instant - INTERVAL 4 HOUR AND scheduled_departure < instant
    AND scheduled_known <= instant
UNION ALL
SELECT 'planned', instant, origin, carrier, destination, scheduled_departure, true, NULL, NULL, false, 1, 0
FROM instants
JOIN legs
    ON scheduled_departure >= instant AND scheduled_departure < instant + INTERVAL 3 HOUR
    AND scheduled_known <= instant
UNION ALL
SELECT
    'dropped', instant, origin, carrier, destination, scheduled_departure, true, NULL, NULL,
    coalesce(cancelled_known <= instant, false), 1, 0
FROM days
JOIN legs
    ON scheduled_departure >= day_start AND scheduled_departure < instant - INTERVAL 3 HOUR
    AND scheduled_known <= instant
UNION ALL
SELECT
    'week', instant, NULL, carrier, destination, NULL, false, sum(delay_minutes::BIGINT)::BIGINT, NULL, false,
    count(*), count_if(delay_minutes >= 15)
FROM instants
JOIN flights ON event_time >= instant - INTERVAL 168 HOUR AND event_time < instant AND known_from <= instant
WHERE event = 'arrived'
GROUP BY instant, carrier, destination
