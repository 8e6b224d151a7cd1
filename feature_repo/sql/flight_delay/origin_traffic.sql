-- What an airport's departures are like: by the hour, today so far, and what should have left and has not.
WITH sums AS (
    SELECT
        instant, origin,
        count(*) FILTER (departed_1h) AS num_1h,
        sum(delay) FILTER (departed_1h) AS delay_1h,
        sum(num_late) FILTER (departed_1h) AS late_1h,
        count(*) FILTER (departed_3h) AS num_3h,
        sum(delay) FILTER (departed_3h) AS delay_3h,
        sum(num_late) FILTER (departed_3h) AS late_3h,
        sum(surplus_seconds) FILTER (departed_3h) AS surplus_3h,
        count(*) FILTER (departed) AS num_24h,
        sum(delay) FILTER (departed) AS delay_24h,
        count(*) FILTER (departed_today) AS num_today,
        sum(delay) FILTER (departed_today) AS delay_today,
        sum(num_late) FILTER (departed_today) AS late_today,
        sum(surplus_seconds) FILTER (departed_today) AS surplus_today,
        count(*) FILTER (arrived_3h) AS num_arrived_3h,
        sum(delay) FILTER (arrived_3h) AS arrival_delay_3h,
        sum(surplus_seconds) FILTER (arrived_3h) AS block_3h,
        count(surplus_seconds) FILTER (arrived_3h) AS num_block_3h,
        count(*) FILTER (due) AS num_due,
        count(*) FILTER (due AND missing) AS num_overdue,
        count(*) FILTER (due AND missing AND delay >= 15) AS num_overdue_15,
        sum(delay) FILTER (due AND missing) AS overdue_minutes,
        count(*) FILTER (kind = 'dropped') AS num_over,
        count(*) FILTER (kind = 'dropped' AND missing) AS num_cancelled,
        count(*) FILTER (kind = 'planned') AS num_planned
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
