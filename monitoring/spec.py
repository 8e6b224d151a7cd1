"""What a use case declares about its monitoring: budgets of false alarms, smallest effects, who is told.

Budgets are probabilities of a false alarm per window, because a threshold without one is a matter of taste; smallest
effects keep a difference that is certain but harmless from waking anybody.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from feature_repo.contracts.base import ColumnType, UseCase


class Severity(StrEnum):
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


@dataclass(frozen=True, kw_only=True)
class WindowPolicy:
    """A window has `length` and is judged only with `min_rows` labelled rows on `min_days` days."""

    length: timedelta = timedelta(days=14)
    min_rows: int = 500
    min_days: int = 10

    def __post_init__(self) -> None:
        """A window that nothing can fill, or that nothing already fills, would be judged never or by nothing."""
        if self.length < timedelta(days=1) or self.min_rows < 1 or not 1 <= self.min_days <= self.length.days + 1:
            raise ValueError(
                f"no window of {self.length} can be judged by {self.min_rows} rows on {self.min_days} days; "
                "expected a day or more, a row or more, and days that lie in it"
            )


@dataclass(frozen=True, kw_only=True)
class PerformancePolicy:
    """`budget`: false alarms per window; `min_drop`: smallest drop of skill below the reference's that matters.

    `estimate_budget`: false suspicions per window from unlabelled answers, which no retraining follows.
    """

    budget: float = 1 / 26
    estimate_budget: float = 0.005
    min_drop: float = 0.01
    block_days: int = 7
    num_resamples: int = 2000


@dataclass(frozen=True, kw_only=True)
class DriftPolicy:
    """`budget`: false alarms per window of the maximum over features, and again of the weighted drift.

    Columns that start with one of `exempt` are measured and shown but never trigger: the seasons and the weather
    change by themselves. `min_weighted`: smallest importance-weighted mean of distance over threshold that matters.
    """

    exempt: tuple[str, ...] = ()
    budget: float = 0.005
    min_weighted: float = 0.25
    block_days: int = 7
    num_resamples: int = 1000
    max_rows: int = 5000


@dataclass(frozen=True, kw_only=True)
class DefectPolicy:
    """`min_quality`: smallest share of a source's rows that pass; `null_jump`: rise of a column's null share on a day
    of at least `min_rows_per_day`; `unit_ratio`: change of a column's scale that no season explains.
    """

    min_quality: float = 0.95
    null_jump: float = 0.5
    min_rows_per_day: int = 30
    unit_ratio: float = 8.0


@dataclass(frozen=True, kw_only=True)
class MonitoringSpec:
    contract: UseCase
    owner_of_data: str
    runbook: str
    window: WindowPolicy = field(default_factory=WindowPolicy)
    performance: PerformancePolicy = field(default_factory=PerformancePolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    defects: DefectPolicy = field(default_factory=DefectPolicy)

    def triggers(self, column: str) -> bool:
        """Whether drift of this column may raise an alarm."""
        return not column.startswith(self.drift.exempt)

    @property
    def numeric(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.contract.vector if column.type is not ColumnType.STRING)

    @property
    def categorical(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.contract.vector if column.type is ColumnType.STRING)
