-- One row per flight of the last days; a flight exists once its schedule is known.
SELECT
    carrier, flight, origin, scheduled_departure,
    min(given(event = 'scheduled', destination)) AS destination,
    min(given(event = 'scheduled', tail_number)) AS tail_number,
    min(given(event = 'scheduled', scheduled_arrival)) AS scheduled_arrival,
    min(given(event = 'scheduled', known_from)) AS scheduled_known,
    min(given(event = 'departed', known_from)) AS departed_known,
    min(given(event = 'departed', actual_time)) AS departed_at,
    min(given(event = 'departed', delay_minutes::BIGINT)) AS departure_delay,
    min(given(event = 'arrived', known_from)) AS arrived_known,
    min(given(event = 'arrived', actual_time)) AS arrived_at,
    min(given(event = 'arrived', delay_minutes::BIGINT)) AS arrival_delay,
    min(given(event = 'cancelled', known_from)) AS cancelled_known
FROM flights
WHERE scheduled_departure >= (SELECT min(instant) FROM instants) - INTERVAL 60 HOUR
GROUP BY carrier, flight, origin, scheduled_departure
HAVING scheduled_known IS NOT NULL
