-- How a carrier is doing: today so far, over a day and a week, and what it has waiting.
WITH sums AS (
    SELECT
        instant, carrier,
        count_if(departed) AS num_24h,
        sum(given(departed, delay)) AS delay_24h,
        sum(given(departed, num_late)) AS late_24h,
        count_if(departed AND today) AS num_today,
        sum(given(departed AND today, delay)) AS delay_today,
        sum(given(departed AND today, num_late)) AS late_today,
        sum(given(departed AND today, surplus_seconds)) AS surplus_today,
        count_if(arrived) AS num_arrived_24h,
        sum(given(arrived, delay)) AS arrival_delay_24h,
        count_if(arrived AND today) AS num_arrived_today,
        sum(given(arrived AND today, delay)) AS arrival_delay_today,
        sum(given(kind = 'week', num)) AS num_168h,
        sum(given(kind = 'week', delay)) AS delay_168h,
        sum(given(kind = 'week', num_late)) AS late_168h,
        count_if(due) AS num_due,
        count_if(due AND missing) AS num_overdue,
        sum(given(due AND missing, delay)) AS overdue_minutes,
        count_if(kind = 'dropped') AS num_over,
        count_if(kind = 'dropped' AND missing) AS num_cancelled
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
