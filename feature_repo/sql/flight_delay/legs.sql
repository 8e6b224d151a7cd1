-- One row per flight of the last days; a flight exists once its schedule is known.
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
HAVING scheduled_known IS NOT NULL
