"""When a use case may build from sources that others ingest: not before their owners have.

What an owner has ingested stands in the database as the quality of each interval, so nothing relies on the
order in which two schedules run.
"""

from datetime import timedelta

from feature_repo import quality
from feature_repo.contracts.base import DataInterval, UseCase
from feature_repo.errors import NothingToDoError, NotIngestedError
from feature_repo.materialize import newest_instant
from infra.lake import Lake, use_case_group


def require_ingested(use_case: UseCase, interval: DataInterval, *, database: str) -> None:
    """Raises NotIngestedError unless every source that it reads was ingested by its owner for the whole interval."""
    for shared in use_case.reads:
        spans = quality.ingested(database, shared.owner, shared.name)
        if any(span.start <= interval.start and interval.end <= span.end for span in spans):
            continue
        newest = f"the newest that it has is {spans[-1]}" if spans else "it has nothing yet"
        raise NotIngestedError(
            f"{use_case.name} reads {shared.name}, which {shared.owner} has not ingested for all of {interval}: "
            f"{newest}; run `python -m feature_repo ingest {shared.owner} {shared.name}` for it, then this again"
        )


def due_interval(use_case: UseCase, lake: Lake) -> DataInterval:
    """From what gold has to where what was ingested of all its sources ends, on the grid; in an empty gold, from where
    the last of them begins.

    Raises NothingToDoError if that is nothing.
    """
    by_source = [quality.ingested(lake.database, owner, name) for name, owner in use_case.owner_by_source.items()]
    with lake.open(use_case_group(use_case.name)) as gold:
        built = newest_instant(use_case, gold)
    if all(by_source):
        first = max(spans[0].start for spans in by_source)
        start = built + use_case.step if built else use_case.floor(first - timedelta(microseconds=1)) + use_case.step
        ends = [span.end for spans in by_source for span in spans if span.start <= start < span.end]
        end = use_case.floor(min(ends)) if len(ends) == len(by_source) else start
        if start < end:
            return DataInterval(start=start, end=end)
    raise NothingToDoError(f"{use_case.name}: its sources were ingested no further than gold was built")
