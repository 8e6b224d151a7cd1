-- What an airport's departures are like: by the hour, today so far, and what should have left and has not.
WITH departed AS (
    SELECT
        instant, origin,
        count(*) FILTER (departed_at >= instant - INTERVAL 1 HOUR) AS num_1h,
        sum(delay) FILTER (departed_at >= instant - INTERVAL 1 HOUR) AS delay_1h,
        count(*) FILTER (delay >= 15 AND departed_at >= instant - INTERVAL 1 HOUR) AS late_1h,
        count(*) FILTER (departed_at >= instant - INTERVAL 3 HOUR) AS num_3h,
        sum(delay) FILTER (departed_at >= instant - INTERVAL 3 HOUR) AS delay_3h,
        count(*) FILTER (delay >= 15 AND departed_at >= instant - INTERVAL 3 HOUR) AS late_3h,
        sum(surplus_seconds) FILTER (departed_at >= instant - INTERVAL 3 HOUR) AS surplus_3h,
        count(*) AS num_24h,
        sum(delay) AS delay_24h,
        count(*) FILTER (today) AS num_today,
        sum(delay) FILTER (today) AS delay_today,
        count(*) FILTER (today AND delay >= 15) AS late_today,
        sum(surplus_seconds) FILTER (today) AS surplus_today
    FROM departures GROUP BY ALL
), landed AS (
    SELECT
        instant, origin,
        per(sum(delay) FILTER (arrived_at >= instant - INTERVAL 3 HOUR),
            count(*) FILTER (arrived_at >= instant - INTERVAL 3 HOUR)) AS origin_arrival_delay_3h,
        per(sum(block_surplus) FILTER (arrived_at >= instant - INTERVAL 3 HOUR),
            count(block_surplus) FILTER (arrived_at >= instant - INTERVAL 3 HOUR)) AS origin_block_surplus_3h
    FROM arrivals GROUP BY ALL
), waiting AS (
    SELECT
        instant, origin,
        count(*) FILTER (overdue)::FLOAT AS origin_overdue_count,
        per(count(*) FILTER (overdue), count(*)) AS origin_overdue_share,
        per(count(*) FILTER (overdue AND minutes >= 15), count(*)) AS origin_overdue_15_share,
        per(sum(minutes) FILTER (overdue), count(*) FILTER (overdue)) AS origin_overdue_minutes
    FROM due GROUP BY ALL
), dropped AS (
    SELECT instant, origin, per(count(*) FILTER (cancelled), count(*)) AS origin_cancelled_share_today
    FROM cancellations GROUP BY ALL
), ahead AS (
    SELECT instant, origin, count(*)::FLOAT AS origin_planned_next_3h
    FROM instants JOIN legs
        ON scheduled_departure >= instant AND scheduled_departure < instant + INTERVAL 3 HOUR
        AND scheduled_known <= instant
    GROUP BY ALL
)
SELECT
    instant, origin,
    num_1h::FLOAT AS origin_departures_1h,
    per(delay_1h, num_1h) AS origin_departure_delay_1h,
    per(late_1h, num_1h) AS origin_departure_late_share_1h,
    per(delay_3h, num_3h) AS origin_departure_delay_3h,
    per(late_3h, num_3h) AS origin_departure_late_share_3h,
    per(surplus_3h, num_3h * 60) AS origin_departure_surplus_3h,
    per(delay_24h, num_24h) AS origin_departure_delay_24h,
    num_today::FLOAT AS origin_departures_today,
    per(delay_today, num_today) AS origin_departure_delay_today,
    per(late_today, num_today) AS origin_departure_late_share_today,
    per(surplus_today, num_today * 60) AS origin_departure_surplus_today,
    origin_arrival_delay_3h,
    origin_block_surplus_3h,
    origin_overdue_count,
    origin_overdue_share,
    origin_overdue_15_share,
    origin_overdue_minutes,
    origin_cancelled_share_today,
    origin_planned_next_3h
FROM departed
FULL JOIN landed USING (instant, origin)
FULL JOIN waiting USING (instant, origin)
FULL JOIN dropped USING (instant, origin)
FULL JOIN ahead USING (instant, origin)
