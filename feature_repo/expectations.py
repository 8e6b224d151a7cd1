"""What must hold of a source's rows, as plain frozen declarations.

Two engines execute them, Great Expectations on an interval and DuckDB in the micro-batch; neither adds a rule of its
own. A rule of severity `fail` sends the row to quarantine; one of severity `warn` keeps the row and counts it. Except
for `Complete`, an absent value breaks no rule.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from feature_repo.contracts.base import require_name


class Severity(StrEnum):
    FAIL = "fail"
    WARN = "warn"


FAIL, WARN = Severity.FAIL, Severity.WARN


class Dimension(StrEnum):
    COMPLETENESS = "completeness"
    RANGE = "range"
    FORMAT = "format"
    REFERENTIAL = "referential"
    TEMPORAL = "temporal"
    FRESHNESS = "freshness"


@dataclass(frozen=True, kw_only=True)
class When:
    """The rule holds only for rows whose `column` is one of `values`."""

    column: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"a rule for rows by their {self.column} names no value; name those that it holds for")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """`column` is the one whose value is shown when the rule is broken; `reason` says what a broken rule means."""

    dimension: ClassVar[Dimension]

    column: str
    severity: Severity
    reason: str
    when: When | None = None

    @property
    def name(self) -> str:
        condition = f"[{','.join(self.when.values)}]" if self.when else ""
        return f"{self.dimension}:{self.column}{condition}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the rule reads."""
        return (self.column, *((self.when.column,) if self.when else ()))


@dataclass(frozen=True, kw_only=True)
class Complete(Expectation):
    """The value is there."""

    dimension = Dimension.COMPLETENESS


@dataclass(frozen=True, kw_only=True)
class InRange(Expectation):
    """`minimum <= value <= maximum`."""

    dimension = Dimension.RANGE
    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.minimum) or not math.isfinite(self.maximum):
            raise ValueError(f"{self.name}: bounds must be finite, got {self.minimum} and {self.maximum}")


@dataclass(frozen=True, kw_only=True)
class Matches(Expectation):
    """The whole value matches `pattern`, in the syntax that Python and RE2 share."""

    dimension = Dimension.FORMAT
    pattern: str


@dataclass(frozen=True, kw_only=True)
class RefersTo(Expectation):
    """The value is one of the column of the same meaning in a reference table."""

    dimension = Dimension.REFERENTIAL
    reference: str
    reference_column: str

    def __post_init__(self) -> None:
        for name in (self.reference, self.reference_column):
            require_name("reference table or its column", name)


@dataclass(frozen=True, kw_only=True)
class Ordered(Expectation):
    """`column` lies at least `at_least` and at most `at_most` after `earlier`."""

    dimension = Dimension.TEMPORAL
    earlier: str
    at_least: timedelta = timedelta(0)
    at_most: timedelta

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, self.earlier)


@dataclass(frozen=True, kw_only=True)
class SpansMinutes(Expectation):
    """`column` is the number of minutes from `start` to `end`: wrong units and wrong clocks both break it."""

    dimension = Dimension.TEMPORAL
    start: str
    end: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, self.start, self.end)


@dataclass(frozen=True, kw_only=True)
class Fresh(Expectation):
    """The row reached us at most `at_most` after the instant in `column`."""

    dimension = Dimension.FRESHNESS
    at_most: timedelta
    delivered_at: str = "delivered_at"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, self.delivered_at)


# Constructors for declarations, one rule per column: `in_range(FAIL, "no such weather", humidity=(0, 100))`.


def complete(severity: Severity, reason: str, names: str, *, when: When | None = None) -> tuple[Complete, ...]:
    """`names` are separated by spaces."""
    return tuple(Complete(column=name, severity=severity, reason=reason, when=when) for name in names.split())


def in_range(severity: Severity, reason: str, /, **bounds: tuple[float, float]) -> tuple[InRange, ...]:
    return tuple(
        InRange(column=name, severity=severity, reason=reason, minimum=minimum, maximum=maximum)
        for name, (minimum, maximum) in bounds.items()
    )


def matches(severity: Severity, reason: str, /, **patterns: str) -> tuple[Matches, ...]:
    return tuple(
        Matches(column=name, severity=severity, reason=reason, pattern=pattern) for name, pattern in patterns.items()
    )


def refers_to(severity: Severity, reason: str, /, **targets: str) -> tuple[RefersTo, ...]:
    """`refers_to(WARN, "not listed", origin="airports.airport")`."""
    parts = ((name, target.partition(".")) for name, target in targets.items())
    return tuple(
        RefersTo(column=name, severity=severity, reason=reason, reference=table, reference_column=column)
        for name, (table, _, column) in parts
    )


def ordered(severity: Severity, reason: str, at_most: timedelta, /, **earlier: str) -> tuple[Ordered, ...]:
    """`ordered(FAIL, "arrives first", timedelta(days=1), scheduled_arrival="scheduled_departure")`."""
    return tuple(
        Ordered(column=name, severity=severity, reason=reason, earlier=other, at_most=at_most)
        for name, other in earlier.items()
    )


def spans_minutes(severity: Severity, reason: str, when: When, /, **spans: tuple[str, str]) -> tuple[SpansMinutes, ...]:
    return tuple(
        SpansMinutes(column=name, severity=severity, reason=reason, when=when, start=start, end=end)
        for name, (start, end) in spans.items()
    )


def fresh(severity: Severity, reason: str, /, **limits: timedelta) -> tuple[Fresh, ...]:
    return tuple(Fresh(column=name, severity=severity, reason=reason, at_most=limit) for name, limit in limits.items())
