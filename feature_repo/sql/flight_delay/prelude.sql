-- Tables that the views share. Every view is one SELECT over these, `instants` and the sources.
--
-- A source has its silver rows with `known_from`: the first instant of the grid at which the row had been delivered.
-- Whatever reaches an instant must say `known_from <= instant` (or one of the *_known columns below): that is the whole
-- defence against reading the future. All times are TIMESTAMP in UTC. Sums are of integers, divided once by `per`.

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
WHERE scheduled_departure >= (SELECT min(instant) FROM instants) - INTERVAL 3 DAY
GROUP BY carrier, flight, origin, scheduled_departure
HAVING scheduled_known IS NOT NULL;

-- The delay that is usual for an origin and a scheduled hour: whole seconds, over what left in 28 days.
CREATE OR REPLACE TEMP TABLE usual AS
WITH departed AS (
    SELECT
        origin, hour(scheduled_departure) AS scheduled_hour, date_trunc('hour', event_time) AS event_hour, known_from,
        count(*) AS num, sum(delay_minutes::BIGINT) AS delay
    FROM flights
    WHERE event = 'departed' AND event_time >= (SELECT min(instant) FROM instants) - INTERVAL 28 DAY
    GROUP BY ALL
)
SELECT instant, origin, scheduled_hour, (sum(delay) * 60 // sum(num))::BIGINT AS delay_seconds
FROM instants
JOIN departed ON event_hour >= instant - INTERVAL 28 DAY AND event_hour < instant AND known_from <= instant
GROUP BY ALL;

-- Flights that left in the last 24 hours, as known at each instant; `surplus_seconds` is delay beyond the usual.
CREATE OR REPLACE TEMP TABLE departures AS
SELECT
    instant, origin, carrier, destination, departed_at, departure_delay AS delay,
    departed_at >= day_start AS today,
    departure_delay * 60 - delay_seconds AS surplus_seconds
FROM days
JOIN legs
    ON departed_at >= instant - INTERVAL 24 HOUR AND departed_at < instant
    AND departed_known <= instant AND scheduled_known <= instant
LEFT JOIN usual USING (instant, origin)
WHERE scheduled_hour = hour(scheduled_departure);

-- Flights that arrived in the last 24 hours; `block_surplus` is the time under way beyond the planned one.
CREATE OR REPLACE TEMP TABLE arrivals AS
SELECT
    instant, origin, carrier, destination, arrived_at, arrival_delay AS delay,
    arrived_at >= day_start AS today,
    CASE WHEN departed_known <= instant THEN arrival_delay - departure_delay END AS block_surplus
FROM days
JOIN legs
    ON arrived_at >= instant - INTERVAL 24 HOUR AND arrived_at < instant
    AND arrived_known <= instant AND scheduled_known <= instant;

-- Flights that should have left in the last 4 hours, and whether they have, as far as is known.
CREATE OR REPLACE TEMP TABLE due AS
SELECT
    instant, origin, carrier, destination,
    coalesce(least(departed_known, cancelled_known) > instant, true) AS overdue,
    date_diff('minute', scheduled_departure, instant) AS minutes
FROM instants
JOIN legs
    ON scheduled_departure >= instant - INTERVAL 4 HOUR AND scheduled_departure < instant
    AND scheduled_known <= instant;

-- Cancellations that became known today, and what was planned for the same hours.
CREATE OR REPLACE TEMP TABLE cancellations AS
SELECT instant, origin, carrier, destination, coalesce(cancelled_known <= instant, false) AS cancelled
FROM days
JOIN legs
    ON scheduled_departure >= day_start AND scheduled_departure < instant - INTERVAL 3 HOUR
    AND scheduled_known <= instant;
