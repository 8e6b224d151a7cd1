"""What a source delivers: its columns, its key, and what must hold of every row.

A source is declared once, in its use case's file; the ingest of an interval, the micro-batch and the documentation all
read that declaration, so they cannot drift apart.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import pyarrow as pa

from feature_repo.contracts.base import JOINT, require_name, require_own_name
from feature_repo.expectations import Complete, Expectation, Severity

DELIVERED_AT = "delivered_at"


class SourceType(StrEnum):
    STRING = "string"
    INT64 = "int64"
    FLOAT64 = "float64"
    TIMESTAMP = "timestamp"

    @property
    def arrow(self) -> pa.DataType:
        return pa.timestamp("us", "UTC") if self is SourceType.TIMESTAMP else pa.type_for_alias(self.value)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of a use case. `delivered_at` is added to its columns: when the row reached us.

    `key` names what a row is about; the first row of a key is the truth, since history is never rewritten. `time` is
    the column of the time that a row is about, the same if it is delivered again. A row of a key that was delivered
    before is found for `keys_kept`; after that, only one that also has the same time.
    `max_quarantined_share` is the share of an interval's rows that may be bad before the whole interval is refused:
    above it the defect is not in some rows, it is in the source. `longest_silence` is how long before an interval's end
    the last delivery may lie without a warning.
    """

    name: str
    types: dict[str, SourceType]
    key: tuple[str, ...]
    time: str
    expectations: tuple[Expectation, ...]
    keys_kept: timedelta = timedelta(days=7)
    max_quarantined_share: float = 0.02
    longest_silence: timedelta = field(default=timedelta(hours=12))

    def __post_init__(self) -> None:
        require_own_name("source", self.name)
        for name in self.types:
            require_name("column of a source", name)
        unknown = {column for rule in self.expectations for column in rule.columns} - set(self.columns)
        if unknown:
            raise ValueError(f"source {self.name}: expectations speak of {sorted(unknown)}, which are not its columns")
        names = [rule.name for rule in self.expectations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"source {self.name}: the rules {twice} are declared twice")
        required = {
            rule.column
            for rule in self.expectations
            if isinstance(rule, Complete) and rule.severity is Severity.FAIL and rule.when is None
        }
        if self.types.get(self.time) is not SourceType.TIMESTAMP:
            raise ValueError(f"source {self.name}: its time {self.time!r} is none of its columns of type timestamp")
        missing = {*self.key, self.time} - required
        if missing:
            raise ValueError(f"source {self.name}: {sorted(missing)} need a Complete expectation of severity fail")
        if not self.key:
            raise ValueError(f"source {self.name}: its key is empty; name the columns that say what a row is about")

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.types, DELIVERED_AT)

    @property
    def schema(self) -> pa.Schema:
        fields = [(name, type_.arrow) for name, type_ in self.types.items()]
        return pa.schema([*fields, (DELIVERED_AT, SourceType.TIMESTAMP.arrow)])

    @property
    def float_columns(self) -> tuple[str, ...]:
        return tuple(name for name, type_ in self.types.items() if type_ is SourceType.FLOAT64)

    def reference_table(self, reference: str) -> str:
        """What the reference table of that name is called where this source's rules are checked."""
        return f"{self.name}{JOINT}reference_{reference}"

    def expectation(self, name: str) -> Expectation:
        return next(rule for rule in self.expectations if rule.name == name)


def columns(**names_by_type: str) -> dict[str, SourceType]:
    """Columns in groups of one type: `columns(string="origin destination", timestamp="observed_at")`."""
    return {name: SourceType(type_) for type_, names in names_by_type.items() for name in names.split()}
