"""What a demo shows while it plays: its stages as lines, the replay as bars with the figures that matter.

Lines are printed as they come, so that a log without a terminal tells the same story; the bars are for eyes alone.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from statistics import median
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.local.client import Answer
from infra.local.report import Report

NUM_RECENT = 1000
FIGURES = "{requests} requests, {failures} failed, p50 {p50} ms, version {version}, {decision}"


class Screen:
    """Observes a replay of `num_hours` hours in `num_rounds` rounds."""

    def __init__(self, console: Console, *, num_rounds: int, num_hours: int) -> None:
        self.console = console
        self.begun = time.monotonic()
        self.latencies: deque[float] = deque(maxlen=NUM_RECENT)
        self.requests = self.failures = 0
        self.version, self.decision = "-", "no decision yet"
        bars = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*bars, TextColumn("{task.fields[figures]}"), console=console, refresh_per_second=4)
        self.rounds = self.progress.add_task("rounds", total=num_rounds, figures="")
        self.hours = self.progress.add_task("hours", total=num_hours, figures="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show what goes on; once it has ended, how long it took."""
        self.progress.update(self.rounds, figures=name)
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self.console.print(f"{now - self.begun:6.0f} s  {name} ({now - begun:.1f} s)", highlight=False)
        self.progress.update(self.rounds, figures="")

    def answered(self, answer: Answer) -> None:
        self.requests += 1
        self.failures += answer.failure is not None
        self.version = answer.model_version or self.version
        self.latencies.append(answer.latency_seconds)

    def hour_played(self, instant: datetime) -> None:
        self.progress.update(self.hours, advance=1, description=f"{instant:%Y-%m-%d %H:%M}", figures=self.figures())

    def round_played(self, decision: str) -> None:
        self.decision = decision
        self.progress.update(self.rounds, advance=1)
        self.console.print(f"          {self.figures()}", highlight=False)

    def figures(self) -> str:
        p50 = f"{median(self.latencies) * 1000:.1f}" if self.latencies else "-"
        shown = {"requests": self.requests, "failures": self.failures, "version": self.version}
        return FIGURES.format(**shown, p50=p50, decision=self.decision)


def table_of(report: Report) -> Table:
    """One row for each fortnight."""
    table = Table(title="The loop and the frozen first model, by fortnight", title_justify="left")
    for name in ("from", "to", "requests", "failed", "AUC", "frozen", "log loss", "frozen", "drift"):
        table.add_column(name, justify="left" if name in ("from", "to") else "right")
    table.add_column("decision")
    table.add_column("versions")
    for each in report.intervals:
        counts = ", ".join(f"v{version}: {number}" for version, number in each.versions.items())
        scores = (each.auc, each.frozen_auc, each.log_loss, each.frozen_log_loss)
        row = (each.start[:10], each.end[:10], str(each.predictions), str(each.failed_requests))
        table.add_row(*row, *figures(scores, 4), *figures([each.drift], 2), each.decision or "-", counts)
    return table


def figures(values: Sequence[float | None], decimals: int) -> list[str]:
    return ["-" if value is None else f"{value:.{decimals}f}" for value in values]
