-- Every flight that could be asked about, two hours before it should leave, with the aircraft that flew it: the schedule
-- of a live source may name another one, so a late swap of aircraft is known here earlier than it would have been.
SELECT
    carrier, flight, origin, destination, tail_number, scheduled_departure, scheduled_arrival,
    scheduled_departure - INTERVAL 2 HOUR AS prediction_time
FROM flights
WHERE event = 'scheduled'
