"""The report as one page that needs nothing else: tables, and plots as SVG inside it.

Plots are matplotlib's. Versions and releases are marked where they began to answer, so that a reader can see which
change of model goes with which change of quality.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infra.local import evidence
from infra.local.evidence import Places
from infra.local.report import Interval, Report, numbers
from infra.whole_file import whole_file

LOOP, FROZEN, MARK = "#1f6feb", "#8b949e", "#d1242f"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #d0d7de; padding: .3rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left } td { white-space: nowrap }
figure { margin: 1.5rem 0 } figcaption { color: #59636e } svg { max-width: 100%; height: auto }
"""


def write_page(report: Report, places: Places, path: Path) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(page_of(report, places))


def page_of(report: Report, places: Places) -> str:
    answers = evidence.read_answers(places)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Flywheel: flight delays of 2013</title>",
        f"<style>{STYLE}</style></head><body><h1>The loop on the flights of 2013</h1>",
        summary(report, answers, evidence.count_disagreements(places)),
        *(figure(caption, draw, report.intervals) for caption, draw in plots(report, answers)),
        "<h2>By fortnight</h2>",
        html_table(INTERVAL_COLUMNS, [interval_row(interval) for interval in report.intervals]),
        "<h2>Releases</h2>",
        html_table(RELEASE_COLUMNS, release_rows(report)),
        "<h2>The five numbers</h2>",
        html_table(("number", "value"), number_rows(report)),
        "</body></html>",
    ]
    return "\n".join(parts)


def summary(report: Report, answers: pa.Table, num_disagreements: int) -> str:
    num_requests = sum(interval.predictions for interval in report.intervals)
    num_failed = sum(interval.failed_requests for interval in report.intervals)
    num_labelled = len(answers) - answers["label"].null_count
    labelled = answers.filter(pc.is_valid(answers["label"]))
    num_early = pc.sum(pc.invert(labelled["mature"])).as_py() or 0
    return (
        f"<p>{num_requests:,} requests were answered and {num_failed:,} failed in {report.duration_seconds / 60:.1f} "
        f"minutes. {num_labelled:,} answers have a label; a cancelled or diverted flight has none. "
        f"{num_early:,} of the labels were not mature in the lake at the end and come from the feed. "
        f"{num_disagreements:,} answers differ between the client's ledger and the prediction log. "
        f"Parity: {report.parity.compared:,} vectors compared, {report.parity.mismatched:,} mismatched.</p>"
    )


Draw = Callable[[Axes], None]


def plots(report: Report, answers: pa.Table) -> Iterator[tuple[str, Draw]]:
    intervals = report.intervals
    yield (
        "Log loss by fortnight, lower is better; dashed lines are fortnights in which a new version began to answer",
        lambda axes: lines(axes, intervals, "log_loss", "frozen_log_loss", "log loss (nats)"),
    )
    yield (
        "AUC by fortnight, higher is better",
        lambda axes: lines(axes, intervals, "auc", "frozen_auc", "AUC"),
    )
    yield ("Drift, weighted by importance, over its threshold; above 1 it alarms", lambda axes: drift(axes, intervals))
    yield ("Answers by model version, and failed requests", lambda axes: volumes(axes, intervals))
    yield ("Latency of an answer, as the client saw it", lambda axes: latencies(axes, intervals, answers))


def day_number(moment: str) -> float:
    """A moment as matplotlib's dates count: in days since 1970."""
    return datetime.fromisoformat(moment).timestamp() / 86_400


def middles(intervals: Sequence[Interval]) -> list[float]:
    return [(day_number(each.start) + day_number(each.end)) / 2 for each in intervals]


def widths(intervals: Sequence[Interval]) -> list[float]:
    """Of bars, in days: two thirds of each interval."""
    return [(day_number(each.end) - day_number(each.start)) * 2 / 3 for each in intervals]


def lines(axes: Axes, intervals: Sequence[Interval], loop: str, frozen: str, label: str) -> None:
    for name, legend, colour in ((frozen, "first model, frozen", FROZEN), (loop, "the loop", LOOP)):
        values = [float("nan") if (value := getattr(each, name)) is None else value for each in intervals]
        axes.plot(middles(intervals), values, marker="o", color=colour, label=legend)
    axes.set_ylabel(label)
    seen: set[str] = set()
    for each in intervals:
        new = set(each.versions) - seen
        if seen and new:
            begin = day_number(each.start)
            axes.axvline(begin, color=MARK, linestyle="--", linewidth=1)
            axes.text(begin, 1.01, f"v{max(new)}", color=MARK, transform=axes.get_xaxis_transform(), ha="center")
        seen |= set(each.versions)
    axes.legend(frameon=False)


def drift(axes: Axes, intervals: Sequence[Interval]) -> None:
    axes.bar(middles(intervals), [each.drift or 0.0 for each in intervals], width=widths(intervals), color=LOOP)
    axes.axhline(1, color=MARK, linewidth=1)
    axes.set_ylabel("drift / threshold")


def volumes(axes: Axes, intervals: Sequence[Interval]) -> None:
    versions = sorted({version for each in intervals for version in each.versions}, key=lambda name: (len(name), name))
    bottom = np.zeros(len(intervals))
    colours = mpl.colormaps["viridis"](np.linspace(0.15, 0.85, max(len(versions), 1)))
    for version, colour in zip(versions, colours, strict=False):
        counts = np.array([each.versions.get(version, 0) for each in intervals])
        axes.bar(middles(intervals), counts, bottom=bottom, width=widths(intervals), color=colour, label=f"v{version}")
        bottom += counts
    failed = [each.failed_requests for each in intervals]
    axes.bar(middles(intervals), failed, bottom=bottom, width=widths(intervals), color=MARK, label="failed")
    axes.set_ylabel("requests")
    axes.legend(frameon=False, ncols=8, loc="lower left", bbox_to_anchor=(0, 1))


def latencies(axes: Axes, intervals: Sequence[Interval], answers: pa.Table) -> None:
    rounds = [numbers(answers.filter(pc.equal(answers["round"], n)), "latency_seconds") for n in range(len(intervals))]
    for quantile, colour in ((0.5, LOOP), (0.99, FROZEN)):
        values = [np.quantile(each, quantile) * 1000 if len(each) else np.nan for each in rounds]
        axes.plot(middles(intervals), values, marker="o", color=colour, label=f"p{quantile * 100:.0f}")
    axes.set_ylabel("milliseconds")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def figure(caption: str, draw: Draw, intervals: Sequence[Interval]) -> str:
    with mpl.rc_context({"svg.hashsalt": "flywheel", "font.size": 10}):
        canvas = Figure(figsize=(10, 3), layout="constrained")
        axes = canvas.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if intervals:
            axes.set_xlim(day_number(intervals[0].start), day_number(intervals[-1].end))
            axes.xaxis_date()
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{escape(caption)}</figcaption></figure>"


INTERVAL_COLUMNS = (
    *("from", "to", "answered", "failed", "AUC", "frozen", "log loss", "frozen", "drift", "decision", "versions"),
)
RELEASE_COLUMNS = (
    *("version", "incident", "run", "difference", "low", "high", "minimum", "alias set", "served", "failed requests"),
)


def interval_row(interval: Interval) -> list[object]:
    versions = ", ".join(f"v{version}: {number:,}" for version, number in interval.versions.items())
    scores = (interval.auc, interval.frozen_auc, interval.log_loss, interval.frozen_log_loss)
    counts = (f"{interval.predictions:,}", interval.failed_requests)
    return [interval.start[:10], interval.end[:10], *counts, *scores, interval.drift, interval.decision, versions]


def release_rows(report: Report) -> list[list[object]]:
    return [
        [
            *(f"v{each.version}", each.incident, each.run),
            *(each.gate.difference, each.gate.low, each.gate.high, each.gate.minimum),
            *(to_the_second(each.alias_set_at), to_the_second(each.served_at), each.failed_requests),
        ]
        for each in report.releases
    ]


def to_the_second(moment: str | None) -> str | None:
    return moment and f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S}"


def number_rows(report: Report) -> list[list[object]]:
    five, alarms = report.numbers, report.numbers.false_alarms
    budget = "unstated" if alarms.budget_per_window is None else f"{alarms.budget_per_window:.3f} a window"
    return [
        ["seconds from an alarm to the new model serving (median)", five.alarm_to_serving_seconds],
        ["failed requests per promotion", five.failed_requests_per_promotion],
        [
            "false alarms",
            f"{shown(alarms.false)} of {alarms.alarms} alarms in {alarms.windows} windows; budget {budget}",
        ],
        ["training-serving mismatch, share of vectors", five.mismatch_share],
        ["share of retrainings that beat the champion", five.retrainings_that_won_share],
    ]


def html_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(shown(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
