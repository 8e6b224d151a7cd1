"""What flight_delay's data is and what must hold for it."""

from feature_repo import nycflights

FEED = nycflights.feed
REFERENCES = nycflights.references
