-- What the views' SQL is written with. Before the views come the tables that they share, in the order declared; every
-- statement is one SELECT over those tables, `instants` and the sources.
--
-- A source has its clean rows with `known_from`: the first instant of the grid at which the row had been delivered.
-- Whatever reaches an instant must say `known_from <= instant`, or the same of one of the *_known columns of `legs`: that
-- is the whole defence against reading the future. Times are TIMESTAMP in UTC. Sums are of integers, divided once.

CREATE OR REPLACE MACRO per(total, num) AS CASE WHEN num > 0 THEN (total::DOUBLE / num::DOUBLE)::FLOAT END;
-- A value where a condition holds: `sum(given(c, x))` is `sum(x) FILTER (c)` at half its price on a few rows, since every
-- FILTER allocates vectors for all columns of the input.
CREATE OR REPLACE MACRO given(condition, value) AS CASE WHEN condition THEN value END;
