-- What happens on the way to a destination: arrivals, time under way against plan, flights to it still waiting.
WITH sums AS (
    SELECT
        instant, destination,
        count_if(departed_6h) AS num_6h,
        sum(given(departed_6h, delay)) AS delay_6h,
        sum(given(departed_6h, surplus_seconds)) AS surplus_6h,
        count_if(arrived_6h) AS num_arrived_6h,
        sum(given(arrived_6h, delay)) AS arrival_delay_6h,
        count_if(kind = 'arrived') AS num_arrived_24h,
        sum(given(kind = 'arrived', delay)) AS arrival_delay_24h,
        sum(given(kind = 'week', num)) AS num_168h,
        sum(given(kind = 'week', delay)) AS delay_168h,
        sum(given(kind = 'week', num_late)) AS late_168h,
        sum(given(arrived_6h, surplus_seconds)) AS block_6h,
        count(given(arrived_6h, surplus_seconds)) AS num_block_6h,
        sum(given(kind = 'arrived', surplus_seconds)) AS block_24h,
        count(given(kind = 'arrived', surplus_seconds)) AS num_block_24h,
        count_if(kind = 'due') AS num_due,
        count_if(kind = 'due' AND missing) AS num_overdue,
        sum(given(kind = 'due' AND missing, delay)) AS overdue_minutes
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
