"""Who asks what and when: a seeded sample of each day's scheduled flights, each two hours before its departure.

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

from feature_repo.contracts.base import RequestType, UseCase
from infra.clock import from_microseconds, to_microseconds
from infra.local.world import microseconds

AHEAD = timedelta(hours=2)
DAY_MICROSECONDS = 86_400_000_000


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
    flights = flights.filter(pc.equal(flights["event"], "scheduled"))
    asked_at = microseconds(flights, "scheduled_departure") - AHEAD // timedelta(microseconds=1)
    inside = np.flatnonzero((asked_at >= to_microseconds(start)) & (asked_at < to_microseconds(end)))
    chosen = flights.take(pa.array(inside)).append_column("asked_at", pa.array(asked_at[inside]))
    chosen = chosen.sort_by([(name, "ascending") for name in ("asked_at", "origin", "carrier", "flight")])
    rows = [row for day in days_of(distinct(chosen.to_pylist())) for row in sample(day, per_day, seed)]
    return Schedule([planned(use_case, number, row) for number, row in enumerate(rows)])


Row = dict[str, Any]


def distinct(rows: list[Row]) -> list[Row]:
    return list({entity_of(row): row for row in rows}.values())


def days_of(rows: list[Row]) -> list[list[Row]]:
    days: dict[int, list[Row]] = {}
    for row in rows:
        days.setdefault(row["asked_at"] // DAY_MICROSECONDS, []).append(row)
    return list(days.values())


def sample(day: list[Row], num_rows: int, seed: int) -> list[Row]:
    """At most `num_rows` of one day's rows, in their order."""
    generator = np.random.default_rng([seed, day[0]["asked_at"] // DAY_MICROSECONDS])
    chosen = generator.permutation(len(day))[:num_rows]
    return [day[index] for index in sorted(chosen)]


def entity_of(row: Row) -> tuple[str, int, str, int]:
    return row["carrier"], row["flight"], row["origin"], to_microseconds(row["scheduled_departure"])


def planned(use_case: UseCase, number: int, row: Row) -> PlannedRequest:
    fields = {
        field.name: row[field.name].isoformat() if field.type is RequestType.TIMESTAMP else row[field.name]
        for field in use_case.request
    }
    body = json.dumps(fields, separators=(",", ":")).encode()
    return PlannedRequest(number=number, asked_at=row["asked_at"], entity=entity_of(row), body=body)


def by_moment(requests: Sequence[PlannedRequest]) -> list[tuple[datetime, list[PlannedRequest]]]:
    """Group requests that are asked at the same simulated instant, in order."""
    groups: dict[int, list[PlannedRequest]] = {}
    for request in requests:
        groups.setdefault(request.asked_at, []).append(request)
    return [(from_microseconds(moment), group) for moment, group in groups.items()]
