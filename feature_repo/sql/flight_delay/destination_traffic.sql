-- What happens on the way to a destination: arrivals, time under way against plan, flights to it still waiting.
WITH week AS (
    SELECT
        instant, destination,
        sum(num) AS num, sum(delay) AS delay, sum(late) AS late
    FROM instants
    JOIN (
        SELECT
            destination, date_trunc('hour', event_time) AS event_hour, known_from,
            count(*) AS num, sum(delay_minutes::BIGINT) AS delay, count(*) FILTER (delay_minutes >= 15) AS late
        FROM flights
        WHERE event = 'arrived' AND event_time >= (SELECT min(instant) FROM instants) - INTERVAL 168 HOUR
        GROUP BY ALL
    ) ON event_hour >= instant - INTERVAL 168 HOUR AND event_hour < instant AND known_from <= instant
    GROUP BY ALL
), departed AS (
    SELECT
        instant, destination,
        per(sum(delay) FILTER (departed_at >= instant - INTERVAL 6 HOUR),
            count(*) FILTER (departed_at >= instant - INTERVAL 6 HOUR)) AS destination_departure_delay_6h,
        per(sum(surplus_seconds) FILTER (departed_at >= instant - INTERVAL 6 HOUR),
            count(*) FILTER (departed_at >= instant - INTERVAL 6 HOUR) * 60) AS destination_departure_surplus_6h
    FROM departures GROUP BY ALL
), landed AS (
    SELECT
        instant, destination,
        per(sum(delay) FILTER (arrived_at >= instant - INTERVAL 6 HOUR),
            count(*) FILTER (arrived_at >= instant - INTERVAL 6 HOUR)) AS destination_arrival_delay_6h,
        per(sum(delay), count(*)) AS destination_arrival_delay_24h,
        per(sum(block_surplus) FILTER (arrived_at >= instant - INTERVAL 6 HOUR),
            count(block_surplus) FILTER (arrived_at >= instant - INTERVAL 6 HOUR)) AS destination_block_surplus_6h,
        per(sum(block_surplus), count(block_surplus)) AS destination_block_surplus_24h
    FROM arrivals GROUP BY ALL
), waiting AS (
    SELECT
        instant, destination,
        per(count(*) FILTER (overdue), count(*)) AS destination_overdue_share,
        per(sum(minutes) FILTER (overdue), count(*)) AS destination_overdue_minutes
    FROM due GROUP BY ALL
)
SELECT
    instant, destination,
    destination_departure_delay_6h,
    destination_departure_surplus_6h,
    destination_arrival_delay_6h,
    destination_arrival_delay_24h,
    per(delay, num) AS destination_arrival_delay_168h,
    per(late, num) AS destination_arrival_late_share_168h,
    destination_block_surplus_6h,
    destination_block_surplus_24h,
    destination_overdue_share,
    destination_overdue_minutes
FROM week
FULL JOIN departed USING (instant, destination)
FULL JOIN landed USING (instant, destination)
FULL JOIN waiting USING (instant, destination)
