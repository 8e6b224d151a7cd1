"""Evidently's report of a window, given our thresholds, so that what a person opens agrees with what was decided.

Imported only where a report is drawn: Evidently takes longer to import than everything else takes to run.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.whole_file import whole_file
from monitoring.drift import ColumnDrift, DriftVerdict
from monitoring.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 16
METHODS = {"numeric": "wasserstein", "categorical": "jensenshannon"}


@dataclass(frozen=True, kw_only=True)
class EvidentlyColumn:
    column: str
    distance: float
    drifted: bool


def reported_columns(verdict: DriftVerdict) -> list[ColumnDrift]:
    """Those that drifted and then the nearest to it, the ones that trigger first: a page of eighty is not read."""

    def rank(column: ColumnDrift) -> tuple[bool, float]:
        return (not column.triggers, -column.distance / column.threshold)

    return sorted(verdict.columns, key=rank)[:MOST_COLUMNS]


def frame_of(sample: Sample, columns: list[ColumnDrift]) -> "pd.DataFrame":
    """Absent numbers stay NaN, which Evidently drops; an absent category is the category ""."""
    import pandas as pd

    return pd.DataFrame({c.column: sample.numeric.get(c.column, sample.categorical.get(c.column)) for c in columns})


def write_report(
    verdict: DriftVerdict, *, reference: Sample, current: Sample, title: str, path: Path
) -> list[EvidentlyColumn]:
    """Draw the report of `reported_columns` to `path`; returns Evidently's own verdicts.

    The samples must be those that the verdict was reached on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _write_report(verdict, reference, current, title, path)


def _write_report(
    verdict: DriftVerdict, reference: Sample, current: Sample, title: str, path: Path
) -> list[EvidentlyColumn]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    columns = reported_columns(verdict)
    definition = DataDefinition(
        numerical_columns=[c.column for c in columns if c.column in current.numeric],
        categorical_columns=[c.column for c in columns if c.column in current.categorical],
    )
    metrics: list[Any] = [
        ValueDrift(
            column=c.column,
            method=METHODS["numeric" if c.column in current.numeric else "categorical"],
            threshold=c.threshold,
        )
        for c in columns
    ]
    datasets = [
        Dataset.from_pandas(frame_of(sample, columns), data_definition=definition) for sample in (current, reference)
    ]
    run = Report(metrics, metadata={"title": title}, include_tests=True).run(*datasets)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        run.save_html(str(unfinished))
    return [evidently_column(metric, test) for metric, test in zip(*parts_of(run.dict()), strict=True)]


def parts_of(result: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    return result["metrics"], result["tests"]


def evidently_column(metric: dict[str, Any], test: dict[str, Any]) -> EvidentlyColumn:
    drifted = str(getattr(test["status"], "value", test["status"])).upper() == "FAIL"
    return EvidentlyColumn(column=metric["config"]["column"], distance=float(metric["value"]), drifted=drifted)
