import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from feature_repo.contracts import USE_CASES
from infra.clock import from_microseconds
from infra.local.schedule import Schedule, by_moment, plan_requests

USE_CASE = USE_CASES["flight_delay"]
START = datetime(2013, 4, 1, tzinfo=UTC)
END = START + timedelta(days=3)


def flights() -> pa.Table:
    """Every seven minutes a flight is scheduled, and departs; every fifth has no tail number."""
    rows = []
    for number in range(3 * 24 * 60 // 7):
        departure = START + timedelta(hours=2, minutes=7 * number)
        for event in ("scheduled", "departed"):
            rows.append(
                {
                    "event": event,
                    "carrier": "UA",
                    "flight": number,
                    "origin": "EWR",
                    "destination": "ORD",
                    "tail_number": None if number % 5 == 0 else f"N{number}",
                    "scheduled_departure": departure,
                    "scheduled_arrival": departure + timedelta(hours=2),
                }
            )
    moment = pa.timestamp("us", tz="UTC")
    table = pa.Table.from_pylist(rows)
    for name in ("scheduled_departure", "scheduled_arrival"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(moment))
    return table


def plan(*, end: datetime = END, per_day: int = 50, seed: int = 1) -> Schedule:
    return plan_requests(USE_CASE, flights(), start=START, end=end, per_day=per_day, seed=seed)


def test_a_flight_is_asked_about_once_at_the_last_look_two_hours_before_its_departure() -> None:
    requests = plan(per_day=1000).requests
    assert len({request.entity for request in requests}) == len(requests) == 3 * 24 * 60 // 7 - 1
    for request in requests:
        departure = datetime.fromisoformat(json.loads(request.body)["scheduled_departure"])
        asked_at = from_microseconds(request.asked_at)
        assert timedelta(hours=2) <= departure - asked_at < timedelta(hours=2, minutes=10)
        assert asked_at.minute % 10 == 5


def test_a_look_finds_the_instant_that_two_hours_before_the_departure_would_find() -> None:
    for request in plan(per_day=1000).requests:
        departure = datetime.fromisoformat(json.loads(request.body)["scheduled_departure"])
        asked_at, planned_at = from_microseconds(request.asked_at), departure - timedelta(hours=2)
        assert USE_CASE.floor(asked_at - USE_CASE.lag) == USE_CASE.floor(planned_at - USE_CASE.lag)


def test_a_day_has_its_number_of_requests_in_order() -> None:
    schedule = plan()
    assert len(schedule) == 150
    assert (schedule.asked_at[1:] >= schedule.asked_at[:-1]).all()
    assert len(schedule.between(START + timedelta(days=1), START + timedelta(days=2))) == 50


def test_the_sample_depends_on_the_seed_and_the_day_alone() -> None:
    shorter = plan(end=START + timedelta(days=2)).requests
    assert list(plan().requests[: len(shorter)]) == list(shorter)
    assert [request.entity for request in plan(seed=2).requests] != [request.entity for request in plan().requests]


def test_a_body_is_the_contracts_request_and_keeps_missing_values() -> None:
    bodies = [json.loads(request.body) for request in plan(per_day=1000).requests]
    assert {tuple(body) for body in bodies} == {tuple(field.name for field in USE_CASE.request)}
    assert sum(body["tail_number"] is None for body in bodies) == sum(body["flight"] % 5 == 0 for body in bodies)


def test_requests_of_the_same_instant_form_one_group() -> None:
    requests = plan().requests
    groups = by_moment([requests[0], requests[0], requests[-1]])
    assert [len(group) for _, group in groups] == [2, 1]
    assert [moment for moment, _ in groups] == sorted(moment for moment, _ in groups)


def test_without_a_flight_nobody_asks() -> None:
    for rows, start in ((flights().slice(0, 0), START), (flights(), END + timedelta(days=300))):
        schedule = plan_requests(USE_CASE, rows, start=start, end=start + timedelta(days=3), per_day=50, seed=1)
        assert (len(schedule), schedule.between(start, END)) == (0, [])
    assert by_moment([]) == []
