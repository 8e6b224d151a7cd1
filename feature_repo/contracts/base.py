"""What every layer agrees on about a use case, as plain frozen dataclasses.

Standard library only: a process that serves, trains or schedules may import this without importing any
framework, so the layers can share one truth and nothing else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

Value = float | int | str | None

NAME = re.compile(r"[a-z][a-z0-9_]*")
WORDS_OF_SQL = """
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
    deferrable desc describe distinct do else end except false fetch for foreign from group having in initially
    intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing
    primary qualify references returning select show some summarize symmetric table then to trailing true union unique
    unpivot using variadic when where window with
    anti asof at authorization binary by collation columns concurrently cross freeze full generated glob ilike inner is
    isnull join left like map natural notnull outer overlaps positional right semi similar struct tablesample try_cast
    unpack verbose
"""
RESERVED_IN_SQL = frozenset(WORDS_OF_SQL.split())
OUR_COLUMNS = frozenset({"instant", "available_at", "known_from", "delivered_at", "delivery", "lake_day", "row"})
OUR_TABLES = frozenset(
    {"instants", "population", "labels", "prelude", "watermark", "delivered", "loaded", "dense"}  # beside those joined
)
COLUMNS_OF_ASKED_ROWS = frozenset({"label", "prediction_time", "probability", "split", "event_timestamp"})
JOINT = "__"


def require_name(kind: str, name: str) -> None:
    """A declared name stands as it is in SQL, paths, URLs, ids of DAGs and metrics. Raises ValueError for any other."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{kind} {name!r}: expected a lower-case letter, then such letters, digits and underscores")
    if name in RESERVED_IN_SQL:
        raise ValueError(f"{kind} {name!r}: that is a reserved word of SQL; give it another name")
    if name in OUR_COLUMNS:
        raise ValueError(f"{kind} {name!r}: a column that the platform adds has that name; give it another")


def require_unjoined(kind: str, name: str) -> None:
    """The platform joins names: `flight_delay__labels`, `request__origin`. No declared one may be read as such."""
    require_name(kind, name)
    if JOINT in name or name.endswith("_"):
        raise ValueError(
            f"{kind} {name!r}: two underscores join it to other names, as in flight_delay{JOINT}labels; "
            "put single ones between words and none at the end"
        )


def require_own_name(kind: str, name: str) -> None:
    """The name of a thing that has a table, a DAG or a file of its own. Raises ValueError for one of the platform's."""
    require_unjoined(kind, name)
    if name in OUR_TABLES:
        raise ValueError(f"{kind} {name!r}: a table that the platform makes has that name; give it another")


def refuse_twice(owner: str, kind: str, names: Sequence[str]) -> None:
    """Raises ValueError for names that would overwrite each other in one row."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{owner}: {', '.join(twice)} declared twice among its {kind}; rename one of each two")


class ColumnType(StrEnum):
    """The types that cross a layer's border; parity compares float32 by bytes and the others by value."""

    FLOAT32 = "float32"
    INT64 = "int64"
    STRING = "string"


class TaskType(StrEnum):
    BINARY_CLASSIFICATION = "binary_classification"


class RequestType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: ColumnType

    def __post_init__(self) -> None:
        require_unjoined("column", self.name)
        if self.name in COLUMNS_OF_ASKED_ROWS:
            raise ValueError(f"column {self.name!r}: a row of a training set has one of that name; give it another")


@dataclass(frozen=True, kw_only=True)
class RequestField:
    """One field of a request; a timestamp travels as RFC 3339 with an offset and is held in UTC."""

    name: str
    type: RequestType
    nullable: bool = False
    max_length: int = 16
    minimum: int = 0
    maximum: int = 2**31 - 1

    def __post_init__(self) -> None:
        require_name("request field", self.name)


@dataclass(frozen=True, kw_only=True)
class FeatureViewContract:
    """A feature view as the layers see it: keys, columns in order, and how long a row may be served.

    A row of instant h becomes available at h + the use case's `lag` and is served in
    `[available_at, available_at + ttl)`; past that its values are absent, offline and online alike.
    """

    name: str
    join_keys: tuple[str, ...]
    columns: tuple[Column, ...]
    ttl: timedelta

    def __post_init__(self) -> None:
        """Feast's DuckDB store cannot express days and hours in one duration."""
        require_own_name("feature view", self.name)
        for name in self.join_keys:
            require_name("join key", name)
        if self.ttl <= timedelta(0) or (self.ttl.days and self.ttl % timedelta(days=1)):
            raise ValueError(f"view {self.name}: ttl must be less than a day or whole days, got {self.ttl}")
        if not self.join_keys or not self.columns:
            raise ValueError(f"view {self.name}: needs a join key and a column, got {self.join_keys}, {self.columns}")
        refuse_twice(f"view {self.name}", "join keys and columns", [*self.join_keys, *(c.name for c in self.columns)])


@dataclass(frozen=True, kw_only=True)
class Label:
    """The label's column and the longest time from a prediction to its label, after which the window is mature."""

    name: str
    max_delay: timedelta


@dataclass(frozen=True, kw_only=True)
class DataInterval:
    """Half-open `[start, end)`, both aware and in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name, instant in (("start", self.start), ("end", self.end)):
            if instant.utcoffset() != timedelta(0):
                raise ValueError(f"{name} of a data interval must be in UTC, got {instant.isoformat()}")
        if self.start >= self.end:
            raise ValueError(f"a data interval must not be empty: {self.start.isoformat()} >= {self.end.isoformat()}")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


@dataclass(frozen=True, kw_only=True)
class SharedSource:
    """A source that a use case reads and another one, its owner, declares and ingests."""

    name: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class UseCase:
    """One use case, declared once; everything the platform does for it is derived from this.

    It owns `sources`: they are ingested for it, and it `reads` those of other owners as they left them. Its service's
    port is the installation's first plus `port_offset`. `step` is the distance of the grid's instants, `lag` the time
    from an instant to when its rows may be served. `request_features` maps a request and its view features (a value
    is None when absent) to the request-time features; training and serving both call it.
    """

    name: str
    owner: str
    description: str
    task_type: TaskType
    feature_service: str
    port_offset: int
    sources: tuple[str, ...]
    reads: tuple[SharedSource, ...] = ()
    views: tuple[FeatureViewContract, ...]
    request: tuple[RequestField, ...]
    request_columns: tuple[Column, ...]
    request_features: Callable[[Mapping[str, object], Mapping[str, Value]], dict[str, Value]]
    label: Label
    step: timedelta
    lag: timedelta
    gate_window: timedelta
    decision_threshold: float

    def __post_init__(self) -> None:
        require_own_name("use case", self.name)
        require_own_name("feature service", self.feature_service)
        for name in self.sources:
            require_own_name("source", name)
        refuse_twice(self.name, "columns of the vector", [column.name for column in self.vector])
        refuse_twice(self.name, "fields of a request", [field.name for field in self.request])
        if not self.owner_by_source or not self.views:
            raise ValueError(f"{self.name}: needs a source and a view, got {[*self.owner_by_source]}, {self.views}")
        if self.port_offset < 0:
            raise ValueError(f"{self.name}: port_offset is {self.port_offset}, expected 0 or more")

    @property
    def owner_by_source(self) -> dict[str, str]:
        """Every source whose rows it is made from, its own first, with the use case that ingests it."""
        return dict.fromkeys(self.sources, self.name) | {shared.name: shared.owner for shared in self.reads}

    @property
    def view_columns(self) -> tuple[Column, ...]:
        """The feature service's columns, in its order."""
        return tuple(column for view in self.views for column in view.columns)

    @property
    def vector(self) -> tuple[Column, ...]:
        """What the model may see and the prediction log keeps: the feature service, then request-time features."""
        return self.view_columns + self.request_columns

    def floor(self, moment: datetime) -> datetime:
        """The newest instant of the grid at or before `moment`."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return epoch + (moment - epoch) // self.step * self.step
