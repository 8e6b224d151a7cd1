"""What a check found, as one row of JSON per window: the page, the metrics and the demo's table all read this."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from feature_repo.contracts.base import DataInterval
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, upsert
from infra.database.schema import monitoring_results
from monitoring.drift import ColumnDrift, DriftThresholds, DriftVerdict
from monitoring.estimate import Estimate
from monitoring.performance import PerformanceVerdict, Scores, SkillThreshold


@dataclass(frozen=True, kw_only=True)
class Result:
    """One window. `report` is a path below the folder of reports.

    `num_rows` answers lie in the window, `num_current` of them are the served version's. `alarm_budget` is the
    probability that a window without drift asks for a retraining: 0 where neither answers nor inputs could be judged.
    `quality` of a source without rows is None.
    """

    use_case: str
    checked_at: str
    model_version: str
    training_id: str
    decision: str
    reason: str
    incidents: tuple[str, ...]
    alarm_budget: float
    num_rows: int
    num_current: int
    rows_by_version: dict[str, int]
    rows_by_outcome: dict[str, int]
    num_degraded: int
    performance: PerformanceVerdict
    estimate: Estimate
    drift: DriftVerdict
    weighted_drift: float | None
    weighted_drift_threshold: float | None
    quality: dict[str, float | None]
    defects: tuple[str, ...]
    report: str | None
    seconds: float

    @property
    def num_compared(self) -> int:
        """Columns that may trigger and were compared."""
        return sum(column.triggers for column in self.drift.columns)

    @property
    def num_drifted(self) -> int | None:
        """Of those compared; None if none was."""
        drifted = sum(column.triggers and column.drifted for column in self.drift.columns)
        return drifted if self.num_compared else None


def write_result(connection: Connection, result: Result, window: DataInterval) -> None:
    """A window checked again replaces what the check before it found."""
    row = {
        "use_case": result.use_case,
        "window_start": to_microseconds(window.start),
        "window_end": to_microseconds(window.end),
        "result": json.dumps(asdict(result), sort_keys=True, allow_nan=False),
    }
    upsert(connection, monitoring_results, row)


def read_results(database: str, use_case: str) -> list[tuple[DataInterval, Result]]:
    """Oldest first."""
    with reading(database) as connection:
        return results_of(connection, use_case)


def results_of(connection: Connection, use_case: str) -> list[tuple[DataInterval, Result]]:
    columns = monitoring_results.c
    query = select(columns.window_start, columns.window_end, columns.result).where(columns.use_case == use_case)
    return [
        (DataInterval(start=from_microseconds(start), end=from_microseconds(end)), result_of(json.loads(raw)))
        for start, end, raw in connection.execute(query.order_by(columns.window_end))
    ]


def result_of(fields: dict[str, Any]) -> Result:
    performance, estimate, drift = (fields.pop(name) for name in ("performance", "estimate", "drift"))
    scores, skill = performance.pop("scores"), performance.pop("threshold")
    columns, thresholds = drift.pop("columns"), drift.pop("thresholds")
    return Result(
        performance=PerformanceVerdict(
            scores=None if scores is None else Scores(**scores),
            threshold=None if skill is None else SkillThreshold(**skill),
            **performance,
        ),
        estimate=Estimate(**estimate),
        drift=DriftVerdict(
            columns=tuple(ColumnDrift(**column) for column in columns),
            thresholds=None if thresholds is None else DriftThresholds(**thresholds),
            **drift,
        ),
        incidents=tuple(fields.pop("incidents")),
        defects=tuple(fields.pop("defects")),
        **fields,
    )
