-- What came of a flight, from when it was known. Cancelled and diverted flights have no label, and are counted.
SELECT
    carrier, flight, origin, scheduled_departure,
    CASE WHEN event = 'arrived' THEN (delay_minutes >= 15)::BIGINT END AS label,
    event AS outcome,
    delay_minutes,
    delivered_at AS known_at
FROM flights
WHERE event IN ('arrived', 'cancelled', 'diverted')
QUALIFY row_number() OVER (
    PARTITION BY carrier, flight, origin, scheduled_departure ORDER BY delivered_at, event
) = 1
