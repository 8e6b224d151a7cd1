"""How the benchmarks time and show: what is compared runs in turns, so that both meet the same machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.progress import track
from rich.table import Table


class Results:
    def __init__(self, title: str) -> None:
        self.table = Table("what", "unit", "ours", "control", "ratio", "at most", title=title)

    def add(
        self, what: str, unit: str, ours: float, control: tuple[str, float] | None = None, at_most: float | None = None
    ) -> None:
        beside = () if control is None else (f"{control[1]:.3g} {control[0]}", f"{ours / control[1]:.2f}")
        self.table.add_row(what, unit, f"{ours:.3g}", *beside, *(() if at_most is None else (f"{at_most:g}",)))


@dataclass(frozen=True)
class Medians:
    wall_ms: float
    cpu_ms: float


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def median_seconds(work: Callable[[], object], *, times: int) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def in_turns(
    what: str, works: Sequence[Callable[[int], object]], *, rounds: int, before: Callable[[int], object] | None = None
) -> list[Medians]:
    """Each work's medians over the rounds, whose number it is given. Round 0 and what is done `before` do not count."""
    taken: list[list[tuple[float, float]]] = [[] for _ in works]
    for number in track(range(rounds + 1), what):
        if before is not None:
            before(number)
        for work, times in zip(works, taken, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work(number)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [Medians(*(1000 * statistics.median(each) for each in zip(*times[1:], strict=True))) for times in taken]
