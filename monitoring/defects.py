"""Defects of the data: what looks like drift, or hides it, and is for the data's owner to repair, not to train on.

A model trained on minutes delivered as hours has learned the mistake; so a defect in the window starts no training,
whatever else the window shows.
"""

import json
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select, tuple_

from feature_repo.contracts.base import DataInterval, UseCase
from infra.clock import from_microseconds, to_microseconds
from infra.database import reading, schema
from monitoring.sample import Floats, Sample
from monitoring.spec import DefectPolicy, MonitoringSpec

FEWEST_VALUES = 200
# What a mistaken unit multiplies by: seconds, minutes and hours; hours and days; thousandths; hundredths; both.
UNIT_FACTORS = (60.0, 3600.0, 24.0, 1000.0, 100.0, 1440.0, 1e6)
UNIT_TOLERANCE = 1.35


@dataclass(frozen=True, kw_only=True)
class Defect:
    """`subject` is a source or a column; `what` says which value and what was expected."""

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class SourceQuality:
    source: str
    num_rows: int
    num_quarantined: int
    failures: tuple[str, ...]

    @property
    def score(self) -> float | None:
        """Share of rows that passed; None if none was delivered."""
        return 1 - self.num_quarantined / self.num_rows if self.num_rows else None


def read_quality(database: str, use_case: UseCase, interval: DataInterval) -> list[SourceQuality]:
    """By source, over the ingested intervals that touch this one; a failure that a later rerun covers is forgotten.

    What stands of a source stands under its owner, whoever reads it.
    """
    columns = schema.quality.c
    query = (
        select(schema.quality)
        .where(tuple_(columns.source, columns.use_case).in_(use_case.owner_by_source.items()))
        .where(columns.interval_start < to_microseconds(interval.end))
        .where(columns.interval_end > to_microseconds(interval.start))
        .order_by(columns.source, columns.interval_start)
    )
    with reading(database) as connection:
        rows = connection.execute(query).all()
    qualities = []
    for source in sorted({row.source for row in rows}):
        own = [row for row in rows if row.source == source]
        good = [(row.interval_start, row.interval_end) for row in own if not row.failed]
        failed = [
            row
            for row in own
            if row.failed and not any(a <= row.interval_start and row.interval_end <= b for a, b in good)
        ]
        qualities.append(
            SourceQuality(
                source=source,
                num_rows=sum(row.num_rows for row in own),
                num_quarantined=sum(row.num_quarantined for row in own),
                failures=tuple(failure_of(row.interval_start, row.details) for row in failed),
            )
        )
    return qualities


def failure_of(interval_start: int, details: str) -> str:
    return (
        f"{from_microseconds(interval_start):%Y-%m-%d %H:%M} refused: {json.loads(details).get('reason', 'no reason')}"
    )


def quality_defects(qualities: list[SourceQuality], policy: DefectPolicy) -> list[Defect]:
    found = []
    for quality in qualities:
        if quality.score is not None and quality.score < policy.min_quality:
            what = (
                f"{quality.num_quarantined} of {quality.num_rows} rows in quarantine, score {quality.score:.3f} "
                f"below {policy.min_quality}"
            )
            found.append(Defect(subject=quality.source, what=what))
        found += [Defect(subject=quality.source, what=failure) for failure in quality.failures[:3]]
    return found


def null_shares_by_day(values: Floats, day: np.ndarray, min_rows: int) -> Floats:
    """Null share of each day with enough rows."""
    _, position = np.unique(day, return_inverse=True)
    rows = np.bincount(position)
    nulls = np.bincount(position, weights=np.isnan(values))
    return np.asarray((nulls / rows)[rows >= min_rows])


def null_defects(current: Sample, reference: Sample, policy: DefectPolicy) -> list[Defect]:
    """Columns whose null share on their worst day lies `null_jump` above the reference's worst day."""
    found = []
    for name, values in current.numeric.items():
        now = null_shares_by_day(values, current.day, policy.min_rows_per_day)
        before = null_shares_by_day(reference.numeric[name], reference.day, policy.min_rows_per_day)
        if not len(now) or not len(before):
            continue
        # A column that is empty for a night's or a storm's day of the reference may be so again.
        limit = min(float(before.max()), float(np.median(before)) + policy.null_jump) + policy.null_jump
        if now.max() > min(limit, 0.99) and now.max() - float(np.median(before)) > policy.null_jump:
            what = f"null share {now.max():.2f} on its worst day, {before.max():.2f} on the reference's worst"
            found.append(Defect(subject=name, what=what))
    return found


def scale_of(values: Floats) -> float | None:
    """Median size of the values that are neither absent nor zero."""
    sizes = np.abs(values[~np.isnan(values) & (values != 0)])
    return float(np.median(sizes)) if len(sizes) >= FEWEST_VALUES else None


def unit_defects(current: Sample, reference: Sample, policy: DefectPolicy) -> list[Defect]:
    """Columns whose scale changed by more than `unit_ratio`, and by a factor that units of measure differ by."""
    found = []
    for name, values in current.numeric.items():
        now, before = scale_of(values), scale_of(reference.numeric[name])
        if now is None or before is None:
            continue
        ratio = max(now / before, before / now)
        factor = next((f for f in UNIT_FACTORS if f / UNIT_TOLERANCE < ratio < f * UNIT_TOLERANCE), None)
        if ratio > policy.unit_ratio and factor is not None:
            what = f"typical size {now:.4g}, in the reference {before:.4g}: a factor of {factor:g}, as between units"
            found.append(Defect(subject=name, what=what))
    return found


def find_defects(
    current: Sample, reference: Sample, qualities: list[SourceQuality], spec: MonitoringSpec
) -> list[Defect]:
    policy = spec.defects
    return [
        *quality_defects(qualities, policy),
        *null_defects(current, reference, policy),
        *unit_defects(current, reference, policy),
    ]
