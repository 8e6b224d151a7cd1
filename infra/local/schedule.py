"""Who asks what and when: a seeded sample of each day's scheduled flights, about two hours before each departure.

The client looks every ten minutes for flights that leave in two hours, as a board at an airport would, and asks about
those at once. It looks when instants are published, so no answer rests on an older instant than two hours before the
departure would give.

The sample is drawn by day from the flights that were scheduled, never from how they turned out, and a day's draw
depends on the seed and the day alone: a longer demo asks the same questions on the days it shares with a shorter one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.contracts.base import UseCase
from infra.clock import from_microseconds, to_microseconds
from infra.local.world import microseconds

AHEAD = timedelta(hours=2)
EVERY = timedelta(minutes=10)
ENTITY = ("carrier", "flight", "origin", "scheduled_departure")
DAY_MICROSECONDS = 86_400_000_000
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class PlannedRequest:
    """One question: its number in the demo, when it is asked (microseconds, simulated) and its JSON body."""

    number: int
    asked_at: int
    entity: tuple[str, int, str, int]  # carrier, flight, origin, scheduled departure in microseconds
    body: bytes


class Schedule:
    """All requests of a demo in the order of their prediction times."""

    def __init__(self, requests: Sequence[PlannedRequest]) -> None:
        self.requests = requests
        self.asked_at = np.array([request.asked_at for request in requests], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.requests)

    def between(self, start: datetime, end: datetime) -> Sequence[PlannedRequest]:
        """Requests asked in `[start, end)`."""
        first, last = np.searchsorted(self.asked_at, [to_microseconds(start), to_microseconds(end)])
        return self.requests[first:last]


def plan_requests(
    use_case: UseCase, flights: pa.Table, *, start: datetime, end: datetime, per_day: int, seed: int
) -> Schedule:
    """Sample `per_day` scheduled flights for each UTC day of prediction times in `[start, end)`.

    `flights` is the feed's source of that name. A flight scheduled twice is asked about once.
    """
    scheduled = flights.filter(pc.equal(flights["event"], "scheduled"))
    asked_at = look_before(use_case, microseconds(scheduled, "scheduled_departure") - AHEAD // MICROSECOND)
    inside = (asked_at >= to_microseconds(start)) & (asked_at < to_microseconds(end))
    candidates = scheduled.append_column("asked_at", pa.array(asked_at)).filter(pa.array(inside))
    chosen = sample_by_day(in_order(distinct(candidates)), per_day, seed)
    return Schedule([planned(use_case, number, row) for number, row in enumerate(as_json_values(chosen).to_pylist())])


def look_before(use_case: UseCase, moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last look at or before each moment, in microseconds; a look falls on every instant's publication."""
    lag, every = use_case.lag // MICROSECOND, EVERY // MICROSECOND
    return (moments - lag) // every * every + lag


def distinct(rows: pa.Table) -> pa.Table:
    """One row of each entity: a delivery that came twice schedules nothing twice."""
    numbered = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    return rows.take(numbered.group_by(list(ENTITY)).aggregate([("row", "min")])["row_min"])


def in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in ("asked_at", *ENTITY)])


def sample_by_day(rows: pa.Table, per_day: int, seed: int) -> pa.Table:
    """At most `per_day` rows of each UTC day of `asked_at`, in their order."""
    days = microseconds(rows, "asked_at") // DAY_MICROSECONDS
    starts, ends = (np.searchsorted(days, np.unique(days), side=side) for side in ("left", "right"))
    chosen = [
        first + np.sort(np.random.default_rng([seed, int(days[first])]).permutation(last - first)[:per_day])
        for first, last in zip(starts, ends, strict=True)
    ]
    return rows.take(pa.array(np.concatenate([np.array([], dtype=np.int64), *chosen])))


def as_json_values(rows: pa.Table) -> pa.Table:
    """Timestamps as RFC 3339 beside their microseconds: converting columns is much cheaper than converting values."""
    rows = rows.append_column("entity_time", rows["scheduled_departure"].cast(pa.int64()))
    for index, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            text = pc.strftime(rows.column(index).cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%S+00:00")
            rows = rows.set_column(index, column.name, text)
    return rows


def planned(use_case: UseCase, number: int, row: dict[str, Any]) -> PlannedRequest:
    body = json.dumps({field.name: row[field.name] for field in use_case.request}, separators=(",", ":"))
    entity = (row["carrier"], row["flight"], row["origin"], row["entity_time"])
    return PlannedRequest(number=number, asked_at=row["asked_at"], entity=entity, body=body.encode())


def by_moment(requests: Sequence[PlannedRequest]) -> list[tuple[datetime, list[PlannedRequest]]]:
    """Group requests that are asked at the same simulated instant, in order."""
    groups: dict[int, list[PlannedRequest]] = {}
    for request in requests:
        groups.setdefault(request.asked_at, []).append(request)
    return [(from_microseconds(moment), group) for moment, group in groups.items()]
