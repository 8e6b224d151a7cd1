"""The request and answer schemas of a use case, derived from its contract.

One pydantic model serves three purposes: it validates the bytes of a request in one pass, it is BentoML's input
specification (so OpenAPI says what is accepted), and its errors name the field.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from feature_repo.contracts.base import RequestField, RequestType, UseCase
from serving.errors import BadRequest

MAX_BATCH_ROWS = 1000
# Further out a time cannot be turned into local time without overflow, and no timetable reaches there.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """`feature_age_seconds` counts from the newest instant of the features; null when the store could not be read."""

    prediction_id: str
    probability: float
    decision: bool
    model_version: str
    feature_age_seconds: float | None
    degraded: bool
    reasons: list[str]


class Answers(BaseModel):
    answers: list[Answer]


def parse_timestamp(value: object) -> datetime:
    """RFC 3339 with an offset, to UTC; a number is no timestamp, a time without an offset is no instant."""
    if not isinstance(value, str):
        raise ValueError(f"is of type {type(value).__name__}")
    moment = datetime.fromisoformat(value)
    if moment.utcoffset() is None:
        raise ValueError("has no UTC offset")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is out of range") from error
    if not EARLIEST <= moment < LATEST:
        raise ValueError("is out of range")
    return moment


Timestamp = Annotated[
    datetime,
    PlainValidator(parse_timestamp),
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def describe(field: RequestField) -> str:
    """What a field accepts, in words for an error."""
    words = {
        RequestType.STRING: f"a string of 1 to {field.max_length} characters",
        RequestType.INTEGER: f"an integer from {field.minimum} to {field.maximum}",
        RequestType.TIMESTAMP: "an RFC 3339 time with a UTC offset, like 2013-07-01T16:05:00+00:00, "
        f"from {EARLIEST.year} to {LATEST.year - 1}",
    }[field.type]
    return f"{words}, or null" if field.nullable else words


def annotation(field: RequestField) -> Any:  # noqa: ANN401 - pydantic's annotations have no type of their own
    """The pydantic type of one field."""
    types: dict[RequestType, Any] = {
        RequestType.STRING: Annotated[str, Field(min_length=1, max_length=field.max_length)],
        RequestType.INTEGER: Annotated[int, Field(ge=field.minimum, le=field.maximum)],
        RequestType.TIMESTAMP: Timestamp,
    }
    return types[field.type] | None if field.nullable else types[field.type]


def request_model(use_case: UseCase) -> type[RequestModel]:
    """One JSON object with exactly the contract's fields; a nullable one must still be sent."""
    fields: Any = {field.name: (annotation(field), ...) for field in use_case.request}
    return create_model(f"{camel(use_case.name)}Request", __base__=RequestModel, **fields)


def batch_model(use_case: UseCase) -> type[RequestModel]:
    rows: Any = Annotated[list[request_model(use_case)], Field(min_length=1, max_length=MAX_BATCH_ROWS)]  # type: ignore[misc]
    return create_model(f"{camel(use_case.name)}Batch", __base__=RequestModel, requests=(rows, ...))


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


class RequestParser:
    """Bytes to requests; raises BadRequest, which names the first field that is wrong."""

    def __init__(self, use_case: UseCase) -> None:
        self.fields = {field.name: field for field in use_case.request}
        self.one = request_model(use_case)
        self.many = batch_model(use_case)

    def request(self, body: bytes) -> Mapping[str, object]:
        try:
            return self.one.model_validate_json(body).__dict__
        except ValidationError as error:
            raise self.complaint(error) from error

    def batch(self, body: bytes) -> list[Mapping[str, object]]:
        try:
            parsed = self.many.model_validate_json(body)
        except ValidationError as error:
            raise self.complaint(error) from error
        return [request.__dict__ for request in parsed.requests]  # type: ignore[attr-defined]

    def complaint(self, error: ValidationError) -> BadRequest:
        first = error.errors(include_url=False, include_input=False)[0]
        location = tuple(part for part in first["loc"] if isinstance(part, int) or not part.startswith("function-"))
        name = location[-1] if location else "body"
        path = ".".join(str(part) for part in location) or "body"
        return BadRequest(self.problem(first["type"], first["msg"]), field=path[:200], expected=self.expected(name))

    def problem(self, kind: str, message: str) -> str:
        known = {"missing": "is missing", "extra_forbidden": "is not a field of this request"}
        return known.get(kind, message.removeprefix("Value error, "))

    def expected(self, name: int | str) -> str:
        if name in self.fields:
            return describe(self.fields[str(name)])
        if name == "requests":
            return f'{{"requests": [...]}} with 1 to {MAX_BATCH_ROWS} requests'
        return f"one JSON object with the fields {', '.join(self.fields)}"
