"""The one clock that semantics read: the system's, or a replay file that a replayer advances.

Time-to-live, feature age, label maturity, windows, cool-downs and release steps ask it; latencies and the durations of
incidents do not, they are wall time.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from infra.whole_file import whole_file

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now(self) -> datetime: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """Reads the instant from a file that is replaced atomically, so that every process sees the same simulated time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        try:
            return datetime.fromisoformat(self.path.read_text().strip())
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the replay clock {self.path} does not exist; start the replayer first") from error

    def advance(self, moment: datetime) -> None:
        """Raises ValueError if `moment` lies before the clock's instant: simulated time never runs backwards."""
        now = self.now() if self.path.exists() else moment
        if moment < now:
            raise ValueError(f"the replay clock cannot go back from {now.isoformat()} to {moment.isoformat()}")
        with whole_file(self.path) as unfinished:
            unfinished.write_text(moment.astimezone(UTC).isoformat())


def clock_at(address: str) -> Clock:
    """`system`, or `file:PATH` for a replay. Raises ValueError for anything else."""
    if address == "system":
        return SystemClock()
    if address.startswith("file:"):
        return ReplayClock(Path(address.removeprefix("file:")))
    raise ValueError(f"FLYWHEEL_CLOCK is {address!r}; expected 'system' or 'file:PATH'")


def to_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
