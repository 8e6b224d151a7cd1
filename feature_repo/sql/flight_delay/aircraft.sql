-- Where an aircraft stands: when it is expected back in New York, ready, after the last leg that was due.
-- Only departures from New York are in the data, so the way back is taken to last as long as the way out was planned.
WITH flown AS (
    SELECT
        instant, day_start, legs.*,
        coalesce(departed_known <= instant, false) AS departed,
        coalesce(arrived_known <= instant, false) AS arrived,
        row_number() OVER (
            PARTITION BY instant, tail_number ORDER BY scheduled_departure DESC, carrier DESC, flight DESC
        ) AS age
    FROM days
    JOIN legs
        ON scheduled_departure >= instant - INTERVAL 48 HOUR AND scheduled_departure < instant
        AND scheduled_known <= instant AND coalesce(cancelled_known > instant, true)
    WHERE tail_number IS NOT NULL
), expected AS (
    SELECT
        *,
        CASE WHEN departed THEN departed_at ELSE greatest(scheduled_departure, instant) END AS leaves,
        scheduled_arrival - scheduled_departure AS block
    FROM flown
)
SELECT
    instant, tail_number,
    max(epoch_us(CASE WHEN arrived THEN arrived_at ELSE leaves + block END + block + INTERVAL 80 MINUTE) // 1000000)
        FILTER (age = 1) AS aircraft_back_at,
    max(CASE WHEN departed THEN departure_delay ELSE date_diff('minute', scheduled_departure, instant) END)
        FILTER (age = 1)::FLOAT AS aircraft_departure_delay,
    max(CASE WHEN arrived THEN arrival_delay END) FILTER (age = 1)::FLOAT AS aircraft_arrival_delay,
    max(CASE WHEN departed THEN departure_delay END) FILTER (age = 2)::FLOAT AS aircraft_departure_delay_before,
    max((NOT departed)::INTEGER) FILTER (age = 1)::FLOAT AS aircraft_waiting,
    max(epoch_us(block) // 60000000) FILTER (age = 1)::FLOAT AS aircraft_block_minutes,
    count(*) FILTER (scheduled_departure >= day_start)::FLOAT AS aircraft_legs_today
FROM expected
GROUP BY instant, tail_number
