-- How a carrier is doing: today so far, over a day and a week, and what it has waiting.
WITH week AS (
    SELECT
        instant, carrier,
        sum(num) AS num, sum(delay) AS delay, sum(late) AS late
    FROM instants
    JOIN (
        SELECT
            carrier, date_trunc('hour', event_time) AS event_hour, known_from,
            count(*) AS num, sum(delay_minutes::BIGINT) AS delay, count(*) FILTER (delay_minutes >= 15) AS late
        FROM flights
        WHERE event = 'arrived' AND event_time >= (SELECT min(instant) FROM instants) - INTERVAL 168 HOUR
        GROUP BY ALL
    ) ON event_hour >= instant - INTERVAL 168 HOUR AND event_hour < instant AND known_from <= instant
    GROUP BY ALL
), departed AS (
    SELECT
        instant, carrier,
        per(sum(delay), count(*)) AS carrier_departure_delay_24h,
        per(count(*) FILTER (delay >= 15), count(*)) AS carrier_departure_late_share_24h,
        per(sum(delay) FILTER (today), count(*) FILTER (today)) AS carrier_departure_delay_today,
        per(count(*) FILTER (today AND delay >= 15), count(*) FILTER (today)) AS carrier_departure_late_share_today,
        per(sum(surplus_seconds) FILTER (today), count(*) FILTER (today) * 60) AS carrier_departure_surplus_today
    FROM departures GROUP BY ALL
), landed AS (
    SELECT
        instant, carrier,
        per(sum(delay) FILTER (today), count(*) FILTER (today)) AS carrier_arrival_delay_today,
        per(sum(delay), count(*)) AS carrier_arrival_delay_24h
    FROM arrivals GROUP BY ALL
), waiting AS (
    SELECT
        instant, carrier,
        per(count(*) FILTER (overdue), count(*)) AS carrier_overdue_share,
        per(sum(minutes) FILTER (overdue), count(*)) AS carrier_overdue_minutes
    FROM due GROUP BY ALL
), dropped AS (
    SELECT instant, carrier, per(count(*) FILTER (cancelled), count(*)) AS carrier_cancelled_share_today
    FROM cancellations GROUP BY ALL
)
SELECT
    instant, carrier,
    carrier_departure_delay_today,
    carrier_departure_late_share_today,
    carrier_departure_surplus_today,
    carrier_arrival_delay_today,
    carrier_departure_delay_24h,
    carrier_departure_late_share_24h,
    carrier_arrival_delay_24h,
    per(delay, num) AS carrier_arrival_delay_168h,
    per(late, num) AS carrier_arrival_late_share_168h,
    carrier_overdue_share,
    carrier_overdue_minutes,
    carrier_cancelled_share_today
FROM week
FULL JOIN departed USING (instant, carrier)
FULL JOIN landed USING (instant, carrier)
FULL JOIN waiting USING (instant, carrier)
FULL JOIN dropped USING (instant, carrier)
