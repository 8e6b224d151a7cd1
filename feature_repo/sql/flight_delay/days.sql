-- The operating day begins at 03:00 in New York: a flight that leaves at one at night belongs to the day before.
SELECT
    instant,
    timezone('UTC', timezone('America/New_York',
        date_trunc('day', timezone('America/New_York', timezone('UTC', instant)) - INTERVAL 3 HOUR) + INTERVAL 3 HOUR
    )) AS day_start
FROM instants
