"""What a check found, as one row of JSON per window: the page, the metrics and the demo's table all read this."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.control import DDL
from infra.clock import from_microseconds, to_microseconds


@dataclass(frozen=True, kw_only=True)
class ColumnResult:
    column: str
    distance: float
    threshold: float
    weight: float
    drifted: bool


@dataclass(frozen=True, kw_only=True)
class Result:
    """`report` is a path below the folder of reports; `skill` and the like are None where nothing could be judged.

    `num_rows` answers lie in the window, `num_labelled` of them are the served version's with a label.
    """

    use_case: str
    checked_at: str
    model_version: str
    training_id: str
    decision: str
    reason: str
    incidents: tuple[str, ...]
    num_rows: int
    num_labelled: int
    rows_by_version: dict[str, int]
    rows_by_outcome: dict[str, int]
    num_degraded: int
    performance_status: str
    base_rate: float | None
    auc: float | None
    log_loss: float | None
    brier: float | None
    skill: float | None
    reference_skill: float | None
    skill_drop: float | None
    skill_drop_threshold: float | None
    skill_drop_threshold_interval: tuple[float, float] | None
    expected_skill: float | None
    drift_status: str
    drift_reason: str
    weighted_drift: float | None
    weighted_drift_threshold: float | None
    drift_factor_interval: tuple[float, float] | None
    columns: tuple[ColumnResult, ...]
    quality: dict[str, float]
    defects: tuple[str, ...]
    report: str | None
    seconds: float

    @property
    def num_drifted(self) -> int:
        return sum(column.drifted for column in self.columns)


def write_result(connection: sqlite3.Connection, result: Result, window: DataInterval) -> None:
    """A window checked again replaces what the check before it found."""
    connection.execute(
        "INSERT INTO monitoring_results (use_case, window_start, window_end, result) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (use_case, window_start, window_end) DO UPDATE SET result = excluded.result",
        (
            result.use_case,
            to_microseconds(window.start),
            to_microseconds(window.end),
            json.dumps(asdict(result), sort_keys=True),
        ),
    )


def read_results(database: Path, use_case: str) -> list[tuple[DataInterval, Result]]:
    """Oldest first; none where nothing was set up yet."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.executescript(DDL)
        rows = connection.execute(
            "SELECT window_start, window_end, result FROM monitoring_results WHERE use_case = ? ORDER BY window_end",
            (use_case,),
        ).fetchall()
    return [
        (DataInterval(start=from_microseconds(start), end=from_microseconds(end)), result_of(json.loads(raw)))
        for start, end, raw in rows
    ]


def result_of(fields: dict[str, object]) -> Result:
    columns = fields.pop("columns")
    assert isinstance(columns, list)
    return Result(columns=tuple(ColumnResult(**column) for column in columns), **fields)  # type: ignore[arg-type]
