-- How a carrier is doing at one airport.
WITH sums AS (
    SELECT
        instant, origin, carrier,
        count_if(departed_3h) AS num_3h,
        sum(given(departed_3h, delay)) AS delay_3h,
        count_if(departed) AS num_24h,
        sum(given(departed, delay)) AS delay_24h,
        sum(given(departed, num_late)) AS late_24h,
        count_if(departed AND today) AS num_today,
        sum(given(departed AND today, delay)) AS delay_today,
        sum(given(departed AND today, num_late)) AS late_today,
        sum(given(departed AND today, surplus_seconds)) AS surplus_today,
        count_if(kind = 'arrived') AS num_arrived_24h,
        sum(given(kind = 'arrived', delay)) AS arrival_delay_24h,
        count_if(kind = 'due') AS num_due,
        count_if(kind = 'due' AND missing) AS num_overdue,
        sum(given(kind = 'due' AND missing, delay)) AS overdue_minutes
    FROM (
        SELECT
            *,
            kind = 'departed' AS departed,
            kind = 'departed' AND happened_at >= instant - INTERVAL 3 HOUR AS departed_3h
        FROM traffic WHERE kind IN ('departed', 'arrived', 'due')
    )
    GROUP BY instant, origin, carrier
)
SELECT
    instant, origin, carrier,
    per(delay_3h, num_3h) AS origin_carrier_departure_delay_3h,
    per(delay_today, num_today) AS origin_carrier_departure_delay_today,
    per(late_today, num_today) AS origin_carrier_departure_late_share_today,
    per(surplus_today, num_today * 60) AS origin_carrier_departure_surplus_today,
    per(delay_24h, num_24h) AS origin_carrier_departure_delay_24h,
    per(late_24h, num_24h) AS origin_carrier_departure_late_share_24h,
    per(arrival_delay_24h, num_arrived_24h) AS origin_carrier_arrival_delay_24h,
    CASE WHEN num_due > 0 THEN num_overdue END AS origin_carrier_overdue_count,
    per(num_overdue, num_due) AS origin_carrier_overdue_share,
    per(coalesce(overdue_minutes, 0), num_due) AS origin_carrier_overdue_minutes
FROM sums
