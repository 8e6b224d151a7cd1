-- What happens on the way to a destination: arrivals, time under way against plan, flights to it still waiting.
WITH sums AS (
    SELECT
        instant, destination,
        count(*) FILTER (departed_6h) AS num_6h,
        sum(delay) FILTER (departed_6h) AS delay_6h,
        sum(surplus_seconds) FILTER (departed_6h) AS surplus_6h,
        count(*) FILTER (arrived_6h) AS num_arrived_6h,
        sum(delay) FILTER (arrived_6h) AS arrival_delay_6h,
        count(*) FILTER (kind = 'arrived') AS num_arrived_24h,
        sum(delay) FILTER (kind = 'arrived') AS arrival_delay_24h,
        sum(num) FILTER (kind = 'week') AS num_168h,
        sum(delay) FILTER (kind = 'week') AS delay_168h,
        sum(num_late) FILTER (kind = 'week') AS late_168h,
        sum(surplus_seconds) FILTER (arrived_6h) AS block_6h,
        count(surplus_seconds) FILTER (arrived_6h) AS num_block_6h,
        sum(surplus_seconds) FILTER (kind = 'arrived') AS block_24h,
        count(surplus_seconds) FILTER (kind = 'arrived') AS num_block_24h,
        count(*) FILTER (kind = 'due') AS num_due,
        count(*) FILTER (kind = 'due' AND missing) AS num_overdue,
        sum(delay) FILTER (kind = 'due' AND missing) AS overdue_minutes
    FROM (
        SELECT
            *,
            kind = 'departed' AND happened_at >= instant - INTERVAL 6 HOUR AS departed_6h,
            kind = 'arrived' AND happened_at >= instant - INTERVAL 6 HOUR AS arrived_6h
        FROM traffic WHERE kind NOT IN ('planned', 'dropped')
    )
    GROUP BY instant, destination
)
SELECT
    instant, destination,
    per(delay_6h, num_6h) AS destination_departure_delay_6h,
    per(surplus_6h, num_6h * 60) AS destination_departure_surplus_6h,
    per(arrival_delay_6h, num_arrived_6h) AS destination_arrival_delay_6h,
    per(arrival_delay_24h, num_arrived_24h) AS destination_arrival_delay_24h,
    per(delay_168h, num_168h) AS destination_arrival_delay_168h,
    per(late_168h, num_168h) AS destination_arrival_late_share_168h,
    per(block_6h, num_block_6h * 60) AS destination_block_surplus_6h,
    per(block_24h, num_block_24h * 60) AS destination_block_surplus_24h,
    per(num_overdue, num_due) AS destination_overdue_share,
    per(coalesce(overdue_minutes, 0), num_due) AS destination_overdue_minutes
FROM sums
