import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from feature_repo.contracts.base import RequestField, RequestType
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from serving.errors import BadRequest
from serving.schema import MAX_BATCH_ROWS, RequestParser
from tests.serving.installation import REQUEST

PARSER = RequestParser(FLIGHT_DELAY)


def body(**changes: object) -> bytes:
    return json.dumps({**REQUEST, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in REQUEST.items() if key != name}).encode()


def test_a_request_is_held_with_its_times_in_utc() -> None:
    request = PARSER.request(body(scheduled_departure="2013-07-01T10:15:00-04:00", tail_number=None))

    assert request["scheduled_departure"] == datetime(2013, 7, 1, 14, 15, tzinfo=UTC)
    assert request["scheduled_arrival"] == datetime(2013, 7, 1, 18, 19, tzinfo=UTC)
    assert request["tail_number"] is None
    assert list(request) == [field.name for field in FLIGHT_DELAY.request]


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "body"),
    "empty": (b"", "body"),
    "not UTF-8": (b'{"carrier": "\xff"}', "body"),
    "a list": (b"[]", "body"),
    "null": (b"null", "body"),
    "nested beyond reason": (b"[" * 100_000, "body"),
    "a lone surrogate": (body().replace(b'"UA"', b'"\\ud800"'), "body"),
    "a missing field": (without("origin"), "origin"),
    "a nullable field left out": (without("tail_number"), "tail_number"),
    "an unknown field": (body(url="http://169.254.169.254/"), "url"),
    "an as-of": (body(as_of="2013-01-01T00:00:00Z"), "as_of"),
    "a string for an integer": (body(flight="1545"), "flight"),
    "a float for an integer": (body(flight=1.5), "flight"),
    "a truth for an integer": (body(flight=True), "flight"),
    "an integer below its range": (body(flight=-1), "flight"),
    "an integer above its range": (body(flight=10**30), "flight"),
    "an integer for a string": (body(carrier=1), "carrier"),
    "an empty string": (body(origin=""), "origin"),
    "a long string": (body(origin="E" * 5), "origin"),
    "null where it may not be": (body(origin=None), "origin"),
    "an object for a string": (body(origin={}), "origin"),
    "not a number": (body().replace(b"1545", b"NaN"), "flight"),
    "infinity": (body().replace(b"1545", b"1e999"), "flight"),
    "a time without offset": (body(scheduled_departure="2013-07-01T14:15:00"), "scheduled_departure"),
    "a date": (body(scheduled_departure="2013-07-01"), "scheduled_departure"),
    "a number for a time": (body(scheduled_departure=1372688100), "scheduled_departure"),
    "digits for a time": (body(scheduled_departure="1372688100"), "scheduled_departure"),
    "no time at all": (body(scheduled_arrival="tomorrow"), "scheduled_arrival"),
    "a month too many": (body(scheduled_arrival="2013-13-01T00:00:00Z"), "scheduled_arrival"),
    "a time before all times": (body(scheduled_arrival="0001-01-01T00:00:00+23:59"), "scheduled_arrival"),
    "a time after all times": (body(scheduled_arrival="9999-12-31T23:59:59-23:59"), "scheduled_arrival"),
}


@pytest.mark.parametrize(("raw", "field"), BAD.values(), ids=BAD.keys())
def test_a_bad_request_is_refused_with_the_field_that_is_wrong(raw: bytes, field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        PARSER.request(raw)

    error: dict[str, Any] = json.loads(refused.value.to_json())["error"]
    assert refused.value.status == 400
    assert error["field"] == field
    assert error["problem"]
    assert error["expected"]


def test_an_error_in_a_batch_names_the_row() -> None:
    with pytest.raises(BadRequest) as refused:
        PARSER.batch(json.dumps({"requests": [REQUEST, {**REQUEST, "flight": None}]}).encode())

    assert refused.value.field == "requests.1.flight"


@pytest.mark.parametrize("num_rows", [0, MAX_BATCH_ROWS + 1])
def test_a_batch_that_is_empty_or_too_long_is_refused(num_rows: int) -> None:
    with pytest.raises(BadRequest) as refused:
        PARSER.batch(json.dumps({"requests": [REQUEST] * num_rows}).encode())

    assert refused.value.field == "requests"
    assert str(MAX_BATCH_ROWS) in refused.value.expected


def test_another_use_case_needs_no_schema_of_its_own() -> None:
    fields = (RequestField(name="customer", type=RequestType.INTEGER, minimum=1),)
    parser = RequestParser(replace(FLIGHT_DELAY, name="churn", request=fields))

    assert parser.request(b'{"customer": 7}') == {"customer": 7}
    with pytest.raises(BadRequest):
        parser.request(b'{"customer": 0}')
