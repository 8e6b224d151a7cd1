-- How a carrier is doing at one airport.
WITH departed AS (
    SELECT
        instant, origin, carrier,
        per(sum(delay) FILTER (departed_at >= instant - INTERVAL 3 HOUR),
            count(*) FILTER (departed_at >= instant - INTERVAL 3 HOUR)) AS origin_carrier_departure_delay_3h,
        per(sum(delay), count(*)) AS origin_carrier_departure_delay_24h,
        per(count(*) FILTER (delay >= 15), count(*)) AS origin_carrier_departure_late_share_24h,
        per(sum(delay) FILTER (today), count(*) FILTER (today)) AS origin_carrier_departure_delay_today,
        per(count(*) FILTER (today AND delay >= 15), count(*) FILTER (today))
            AS origin_carrier_departure_late_share_today,
        per(sum(surplus_seconds) FILTER (today), count(*) FILTER (today) * 60)
            AS origin_carrier_departure_surplus_today
    FROM departures GROUP BY ALL
), landed AS (
    SELECT instant, origin, carrier, per(sum(delay), count(*)) AS origin_carrier_arrival_delay_24h
    FROM arrivals GROUP BY ALL
), waiting AS (
    SELECT
        instant, origin, carrier,
        count(*) FILTER (overdue)::FLOAT AS origin_carrier_overdue_count,
        per(count(*) FILTER (overdue), count(*)) AS origin_carrier_overdue_share,
        per(sum(minutes) FILTER (overdue), count(*)) AS origin_carrier_overdue_minutes
    FROM due GROUP BY ALL
)
SELECT
    instant, origin, carrier,
    origin_carrier_departure_delay_3h,
    origin_carrier_departure_delay_today,
    origin_carrier_departure_late_share_today,
    origin_carrier_departure_surplus_today,
    origin_carrier_departure_delay_24h,
    origin_carrier_departure_late_share_24h,
    origin_carrier_arrival_delay_24h,
    origin_carrier_overdue_count,
    origin_carrier_overdue_share,
    origin_carrier_overdue_minutes
FROM departed
FULL JOIN landed USING (instant, origin, carrier)
FULL JOIN waiting USING (instant, origin, carrier)
