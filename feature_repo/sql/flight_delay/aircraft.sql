-- Where an aircraft stands: when it is expected back in New York, ready, after the last leg that was due.
-- Only departures from New York are in the data, so the way back is taken to last as long as the way out was planned.
WITH flown AS (
    SELECT
        instant, tail_number, carrier, flight, scheduled_departure, departure_delay,
        scheduled_departure >= day_start AS today,
        coalesce(departed_known <= instant, false) AS departed,
        coalesce(arrived_known <= instant, false) AS arrived,
        CASE WHEN departed THEN departed_at ELSE greatest(scheduled_departure, instant) END AS leaves,
        scheduled_arrival - scheduled_departure AS block,
        CASE WHEN arrived THEN arrived_at ELSE leaves + block END AS lands,
        {
            'back_at': epoch_us(lands + block + INTERVAL 80 MINUTE) // 1000000,
            'delay': CASE WHEN departed THEN departure_delay ELSE date_diff('minute', scheduled_departure, instant) END,
            'departure_delay': CASE WHEN departed THEN departure_delay END,
            'arrival_delay': CASE WHEN arrived THEN arrival_delay END,
            'waiting': (NOT departed)::BIGINT,
            'block_minutes': epoch_us(block) // 60000000
        } AS leg
    FROM days
    JOIN legs
        ON scheduled_departure >= instant - INTERVAL 48 HOUR AND scheduled_departure < instant
        AND scheduled_known <= instant AND coalesce(cancelled_known > instant, true)
    WHERE tail_number IS NOT NULL
), newest AS (
    SELECT
        instant, tail_number,
        arg_max(leg, (scheduled_departure, carrier, flight), 2) AS legs,
        count_if(today) AS num_today
    FROM flown GROUP BY instant, tail_number
)
SELECT
    instant, tail_number,
    legs[1].back_at AS aircraft_back_at,
    legs[1].delay AS aircraft_departure_delay,
    legs[1].arrival_delay AS aircraft_arrival_delay,
    legs[2].departure_delay AS aircraft_departure_delay_before,
    legs[1].waiting AS aircraft_waiting,
    legs[1].block_minutes AS aircraft_block_minutes,
    num_today AS aircraft_legs_today
FROM newest
