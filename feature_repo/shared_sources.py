"""What of a use case's sources was ingested, and so can be built: of those of others, not before their owners have.

What an owner has ingested stands in the database as the quality of each interval, so nothing relies on the
order in which two schedules run.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

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

    Raises NothingToDoError, with what is missing, if that is nothing.
    """
    by_source = {name: quality.ingested(lake.database, owner, name) for name, owner in use_case.owner_by_source.items()}
    with lake.open(use_case_group(use_case.name)) as gold:
        built = newest_instant(use_case, gold)
    missing = [name for name, spans in by_source.items() if not spans]
    if missing:
        raise NothingToDoError(
            f"{use_case.name}: nothing was ingested of {', '.join(missing)}; run `python -m feature_repo ingest` for "
            "it, then this again"
        )
    first = max(spans[0].start for spans in by_source.values())
    start = built + use_case.step if built else use_case.floor(first - timedelta(microseconds=1)) + use_case.step
    ends = {name: ingested_until(spans, start) for name, spans in by_source.items()}
    end = use_case.floor(min(ends.values()))
    if start < end:
        return DataInterval(start=start, end=end)
    waiting = {name: what_lacks(by_source[name], start) for name in ends if use_case.floor(ends[name]) <= start}
    lacking = ", and ".join(f"{', '.join(names)}: not ingested {lack}" for lack, names in by_value(waiting).items())
    raise NothingToDoError(
        f"{use_case.name}: gold {'is built until' if built else 'could begin at'} {start.isoformat()}, and {lacking}; "
        "what was ingested anew before then is built by "
        f"`python -m feature_repo build {use_case.name} --start ... --end ...`"
    )


def ingested_until(spans: Sequence[DataInterval], start: datetime) -> datetime:
    """The end of what was ingested from `start` on without a hole; `start` itself if there is one at once."""
    return next((span.end for span in spans if span.start <= start < span.end), start)


def what_lacks(spans: Sequence[DataInterval], start: datetime) -> str:
    later = [span.start for span in spans if span.start > start]
    return f"in {DataInterval(start=start, end=later[0])}, though after it" if later else "from then on"


def by_value(text_by_name: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of each text: what holds of several sources is said once."""
    names: dict[str, list[str]] = {}
    for name, text in text_by_name.items():
        names.setdefault(text, []).append(name)
    return names


def holes(use_case: UseCase, interval: DataInterval, *, database: str) -> dict[str, list[DataInterval]]:
    """By source, the parts of the interval of which it was not ingested, because it never was or was refused."""
    found = {}
    for name, owner in use_case.owner_by_source.items():
        start, parts = interval.start, []
        for span in quality.ingested(database, owner, name):
            if start < span.start and start < interval.end:
                parts.append(DataInterval(start=start, end=min(span.start, interval.end)))
            start = max(start, span.end)
        if start < interval.end:
            parts.append(DataInterval(start=start, end=interval.end))
        if parts:
            found[name] = parts
    return found
