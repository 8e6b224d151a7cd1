"""What flight_delay's data is, and what must hold of it."""

from datetime import timedelta

import feature_repo.expectations as expect
from feature_repo import nycflights
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.expectations import FAIL, WARN, When
from feature_repo.sources import Source, columns
from feature_repo.transforms import Transforms

FEED, REFERENCES = nycflights.feed, nycflights.references
UNITS = "not the time against schedule: another unit, a wrong clock or a wrong time zone"
UNLISTED = "a real flight, but not in the reference table: what depends on that stays absent"
DEPARTED, ARRIVED = When(column="event", values=("departed",)), When(column="event", values=("arrived",))
HAPPENED = When(column="event", values=("departed", "arrived"))

FLIGHTS = Source(
    name="flights",
    types=columns(
        string="event carrier origin destination tail_number",
        int64="flight",
        timestamp="event_time scheduled_departure scheduled_arrival actual_time",
        float64="delay_minutes",
    ),
    key=("event", "carrier", "flight", "origin", "scheduled_departure"),
    time="scheduled_departure",
    expectations=(
        *expect.complete(FAIL, "names no flight", "event carrier flight origin destination scheduled_departure"),
        *expect.complete(FAIL, "an event without its time", "scheduled_arrival event_time"),
        *expect.complete(FAIL, "it happened, so its time is known", "actual_time delay_minutes", when=HAPPENED),
        *expect.matches(FAIL, "no such event", event="scheduled|departed|arrived|cancelled|diverted"),
        *expect.matches(FAIL, "not such a code", carrier="[A-Z0-9]{2}", origin="[A-Z]{3}", destination="[A-Z]{3}"),
        *expect.in_range(FAIL, "no flight has it", flight=(1, 9999), delay_minutes=(-240, 2880)),
        *expect.spans_minutes(FAIL, UNITS, DEPARTED, delay_minutes=("scheduled_departure", "actual_time")),
        *expect.spans_minutes(FAIL, UNITS, ARRIVED, delay_minutes=("scheduled_arrival", "actual_time")),
        *expect.ordered(FAIL, "no flight takes so long", timedelta(days=1), scheduled_arrival="scheduled_departure"),
        *expect.ordered(WARN, "a wrong clock, or very late", timedelta(days=30), delivered_at="event_time"),
        *expect.complete(WARN, "no aircraft is known: its features stay absent", "tail_number"),
        *expect.matches(WARN, "not a registration as the source writes them", tail_number="[A-Z0-9]{3,6}"),
        *expect.refers_to(WARN, UNLISTED, origin="airports.airport", destination="airports.airport"),
        *expect.refers_to(WARN, UNLISTED, carrier="airlines.carrier", tail_number="planes.tail_number"),
        *expect.fresh(WARN, "late: features of the hours between were made without it", event_time=timedelta(hours=6)),
    ),
)
WEATHER = Source(
    name="weather",
    types=columns(
        string="origin",
        timestamp="observed_at",
        float64="temperature dew_point humidity wind_direction wind_speed wind_gust precipitation pressure visibility",
    ),
    key=("origin", "observed_at"),
    time="observed_at",
    expectations=(
        *expect.complete(FAIL, "an observation of nowhere, or of no time", "origin observed_at"),
        *expect.matches(FAIL, "not such a code", origin="[A-Z]{3}"),
        *expect.in_range(
            FAIL, "no weather of the coast", temperature=(-40, 120), dew_point=(-60, 100), humidity=(0, 100)
        ),
        *expect.in_range(
            FAIL, "no weather of the coast", wind_speed=(0, 200), wind_gust=(0, 250), pressure=(850, 1100)
        ),
        *expect.in_range(FAIL, "no such reading", wind_direction=(0, 360), precipitation=(0, 12), visibility=(0, 10)),
        *expect.ordered(FAIL, "observed after it reached us", timedelta(days=3650), delivered_at="observed_at"),
        *expect.complete(WARN, "the instrument was silent", "temperature wind_speed precipitation visibility"),
        *expect.refers_to(WARN, UNLISTED, origin="airports.airport"),
        *expect.fresh(WARN, "late: features of the hours between were made without it", observed_at=timedelta(hours=3)),
    ),
)
SOURCES = (FLIGHTS, WEATHER)
TRANSFORMS = Transforms(contract=FLIGHT_DELAY, history=timedelta(days=29), shared=("days", "legs", "usual", "traffic"))
