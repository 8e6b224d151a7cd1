-- What the views share. Every view is one SELECT over these tables, `instants` and the sources.
--
-- A source has its clean rows with `known_from`: the first instant of the grid at which the row had been delivered.
-- Whatever reaches an instant must say `known_from <= instant`, or the same of one of the *_known columns below: that
-- is the whole defence against reading the future. Times are TIMESTAMP in UTC. Sums are of integers, divided once.

CREATE OR REPLACE TEMP MACRO per(total, num) AS CASE WHEN num > 0 THEN (total::DOUBLE / num::DOUBLE)::FLOAT END;

-- The operating day begins at 03:00 in New York: a flight that leaves at one at night belongs to the day before.
CREATE OR REPLACE TEMP TABLE days AS
SELECT
    instant,
    timezone('UTC', timezone('America/New_York',
        date_trunc('day', timezone('America/New_York', timezone('UTC', instant)) - INTERVAL 3 HOUR) + INTERVAL 3 HOUR
    )) AS day_start
FROM instants;

-- One row per flight of the last days; a flight exists once its schedule is known.
CREATE OR REPLACE TEMP TABLE legs AS
SELECT
    carrier, flight, origin, scheduled_departure,
    min(destination) FILTER (event = 'scheduled') AS destination,
    min(tail_number) FILTER (event = 'scheduled') AS tail_number,
    min(scheduled_arrival) FILTER (event = 'scheduled') AS scheduled_arrival,
    min(known_from) FILTER (event = 'scheduled') AS scheduled_known,
    min(known_from) FILTER (event = 'departed') AS departed_known,
    min(actual_time) FILTER (event = 'departed') AS departed_at,
    min(delay_minutes::BIGINT) FILTER (event = 'departed') AS departure_delay,
    min(known_from) FILTER (event = 'arrived') AS arrived_known,
    min(actual_time) FILTER (event = 'arrived') AS arrived_at,
    min(delay_minutes::BIGINT) FILTER (event = 'arrived') AS arrival_delay,
    min(known_from) FILTER (event = 'cancelled') AS cancelled_known
FROM flights
WHERE scheduled_departure >= (SELECT min(instant) FROM instants) - INTERVAL 60 HOUR
GROUP BY carrier, flight, origin, scheduled_departure
HAVING scheduled_known IS NOT NULL;

-- The delay that is usual for an origin and a scheduled hour, in whole seconds, over what left in 28 days.
CREATE OR REPLACE TEMP TABLE usual AS
SELECT
    instant, origin, hour(scheduled_departure) AS scheduled_hour,
    (sum(delay_minutes::BIGINT) * 60 // count(*))::BIGINT AS delay_seconds
FROM instants
JOIN flights
    ON event_time >= instant - INTERVAL 28 DAY AND event_time < instant AND known_from <= instant
WHERE event = 'departed'
GROUP BY ALL;

-- What has happened or should have, as known at each instant; a view sums it up by its keys. Kinds of rows:
--   departed   left in the last 24 hours; `surplus_seconds` is the delay beyond the usual one
--   arrived    landed in the last 24 hours; `surplus_seconds` is the time under way beyond the planned one
--   due        should have left in the last 4 hours; `missing` if it has not, `delay` since when
--   planned    should leave in the next 3 hours
--   dropped    should have left today, more than 3 hours ago; `missing` if it was cancelled
--   week       arrivals of 168 hours by carrier and destination: `num`, and the sums `delay` and `num_late`
CREATE OR REPLACE TEMP TABLE traffic AS
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
    count(*), count(*) FILTER (delay_minutes >= 15)
FROM instants
JOIN flights ON event_time >= instant - INTERVAL 168 HOUR AND event_time < instant AND known_from <= instant
WHERE event = 'arrived'
GROUP BY instant, carrier, destination;
