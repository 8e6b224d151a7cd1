-- What an airport's departures are like: by the hour, today so far, and what should have left and has not.
WITH sums AS (
    SELECT
        instant, origin,
        count_if(departed_1h) AS num_1h,
        sum(given(departed_1h, delay)) AS delay_1h,
        sum(given(departed_1h, num_late)) AS late_1h,
        count_if(departed_3h) AS num_3h,
        sum(given(departed_3h, delay)) AS delay_3h,
        sum(given(departed_3h, num_late)) AS late_3h,
        sum(given(departed_3h, surplus_seconds)) AS surplus_3h,
        count_if(departed) AS num_24h,
        sum(given(departed, delay)) AS delay_24h,
        count_if(departed_today) AS num_today,
        sum(given(departed_today, delay)) AS delay_today,
        sum(given(departed_today, num_late)) AS late_today,
        sum(given(departed_today, surplus_seconds)) AS surplus_today,
        count_if(arrived_3h) AS num_arrived_3h,
        sum(given(arrived_3h, delay)) AS arrival_delay_3h,
        sum(given(arrived_3h, surplus_seconds)) AS block_3h,
        count(given(arrived_3h, surplus_seconds)) AS num_block_3h,
        count_if(due) AS num_due,
        count_if(due AND missing) AS num_overdue,
        count_if(due AND missing AND delay >= 15) AS num_overdue_15,
        sum(given(due AND missing, delay)) AS overdue_minutes,
        count_if(kind = 'dropped') AS num_over,
        count_if(kind = 'dropped' AND missing) AS num_cancelled,
        count_if(kind = 'planned') AS num_planned
    FROM (
        SELECT
            *,
            kind = 'departed' AS departed,
            kind = 'departed' AND today AS departed_today,
            kind = 'departed' AND happened_at >= instant - INTERVAL 1 HOUR AS departed_1h,
            kind = 'departed' AND happened_at >= instant - INTERVAL 3 HOUR AS departed_3h,
            kind = 'arrived' AND happened_at >= instant - INTERVAL 3 HOUR AS arrived_3h,
            kind = 'due' AS due
        FROM traffic WHERE origin IS NOT NULL
    )
    GROUP BY instant, origin
)
SELECT
    instant, origin,
    num_1h AS origin_departures_1h,
    per(delay_1h, num_1h) AS origin_departure_delay_1h,
    per(late_1h, num_1h) AS origin_departure_late_share_1h,
    per(delay_3h, num_3h) AS origin_departure_delay_3h,
    per(late_3h, num_3h) AS origin_departure_late_share_3h,
    per(surplus_3h, num_3h * 60) AS origin_departure_surplus_3h,
    per(delay_24h, num_24h) AS origin_departure_delay_24h,
    num_today AS origin_departures_today,
    per(delay_today, num_today) AS origin_departure_delay_today,
    per(late_today, num_today) AS origin_departure_late_share_today,
    per(surplus_today, num_today * 60) AS origin_departure_surplus_today,
    per(arrival_delay_3h, num_arrived_3h) AS origin_arrival_delay_3h,
    per(block_3h, num_block_3h * 60) AS origin_block_surplus_3h,
    num_overdue AS origin_overdue_count,
    per(num_overdue, num_due) AS origin_overdue_share,
    per(num_overdue_15, num_due) AS origin_overdue_15_share,
    per(overdue_minutes, num_overdue) AS origin_overdue_minutes,
    per(num_cancelled, num_over) AS origin_cancelled_share_today,
    num_planned AS origin_planned_next_3h
FROM sums
