"""Small line charts as inline SVG, so that the page loads nothing from anywhere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 560, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 24


@dataclass(frozen=True, kw_only=True)
class Line:
    """`values` go with the chart's ticks; None breaks the line. `style` is a class of the page's style sheet."""

    name: str
    values: Sequence[float | None]
    style: str


def chart(title: str, ticks: Sequence[str], lines: Sequence[Line]) -> str:
    """A figure, or nothing if no line has a value."""
    present = [value for line in lines for value in line.values if value is not None]
    if not present:
        return ""
    low, high = min(0.0, *present), max(0.0, *present) * 1.08 or 1.0

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / max(len(ticks), 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [grid_line(y(value), value) for value in (low, (low + high) / 2, high / 1.08)]
    every = -(-len(ticks) // 8)
    parts += [
        f'<text x="{x(i):.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(tick)}</text>'
        for i, tick in enumerate(ticks)
        if i % every == 0
    ]
    for line in lines:
        runs = [[(x(i), y(value)) for i, value in run] for run in unbroken(line.values)]
        for points in runs:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            parts.append(f'<polyline class="{line.style}" points="{path}"/>')
        parts += [
            f'<circle class="{line.style}" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for points in runs for a, b in points
        ]
    legend = "".join(f'<span class="key {line.style}">{escape(line.name)}</span>' for line in lines)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)} {legend}</figcaption>{svg}</figure>"


def unbroken(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Positions and values of each stretch without a None."""
    for is_present, run in groupby(enumerate(values), lambda pair: pair[1] is not None):
        if is_present:
            yield [(position, value) for position, value in run if value is not None]


def grid_line(y: float, value: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    )
