-- How a carrier is doing: today so far, over a day and a week, and what it has waiting.
WITH sums AS (
    SELECT
        instant, carrier,
        count(*) FILTER (departed) AS num_24h,
        sum(delay) FILTER (departed) AS delay_24h,
        sum(num_late) FILTER (departed) AS late_24h,
        count(*) FILTER (departed AND today) AS num_today,
        sum(delay) FILTER (departed AND today) AS delay_today,
        sum(num_late) FILTER (departed AND today) AS late_today,
        sum(surplus_seconds) FILTER (departed AND today) AS surplus_today,
        count(*) FILTER (arrived) AS num_arrived_24h,
        sum(delay) FILTER (arrived) AS arrival_delay_24h,
        count(*) FILTER (arrived AND today) AS num_arrived_today,
        sum(delay) FILTER (arrived AND today) AS arrival_delay_today,
        sum(num) FILTER (kind = 'week') AS num_168h,
        sum(delay) FILTER (kind = 'week') AS delay_168h,
        sum(num_late) FILTER (kind = 'week') AS late_168h,
        count(*) FILTER (due) AS num_due,
        count(*) FILTER (due AND missing) AS num_overdue,
        sum(delay) FILTER (due AND missing) AS overdue_minutes,
        count(*) FILTER (kind = 'dropped') AS num_over,
        count(*) FILTER (kind = 'dropped' AND missing) AS num_cancelled
    FROM (
        SELECT *, kind = 'departed' AS departed, kind = 'arrived' AS arrived, kind = 'due' AS due
        FROM traffic WHERE kind <> 'planned'
    )
    GROUP BY instant, carrier
)
SELECT
    instant, carrier,
    per(delay_today, num_today) AS carrier_departure_delay_today,
    per(late_today, num_today) AS carrier_departure_late_share_today,
    per(surplus_today, num_today * 60) AS carrier_departure_surplus_today,
    per(arrival_delay_today, num_arrived_today) AS carrier_arrival_delay_today,
    per(delay_24h, num_24h) AS carrier_departure_delay_24h,
    per(late_24h, num_24h) AS carrier_departure_late_share_24h,
    per(arrival_delay_24h, num_arrived_24h) AS carrier_arrival_delay_24h,
    per(delay_168h, num_168h) AS carrier_arrival_delay_168h,
    per(late_168h, num_168h) AS carrier_arrival_late_share_168h,
    per(num_overdue, num_due) AS carrier_overdue_share,
    per(coalesce(overdue_minutes, 0), num_due) AS carrier_overdue_minutes,
    per(num_cancelled, num_over) AS carrier_cancelled_share_today
FROM sums
