"""The page that on-call opens first: what each window showed, what was decided and why, and what came of it.

One file of HTML without a script: it must work from a laptop in a train, and through any proxy.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from feature_repo.contracts.base import DataInterval
from infra.clock import from_microseconds
from monitoring.charts import Line, chart
from monitoring.history import History, IncidentRow, Numbers
from monitoring.results import Result

STYLE = """
:root { color-scheme: light dark; --line: #8884; --ink: light-dark(#1c2733, #e6e9ed); --blue: #2f6fde; --red: #d64545;
  --amber: #c98a00; --green: #2c9a5f; --grey: #8892a0; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 1400px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.t { white-space: nowrap; } td.why { min-width: 22rem; }
.badge { border-radius: 1rem; padding: .1rem .6rem; color: #fff; background: var(--grey); white-space: nowrap; }
.none, .resolved, .released { background: var(--green); } .watch, .open { background: var(--amber); }
.retrain, .data_defect, .refused { background: var(--red); } .training, .gated { background: var(--blue); }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; } .card { border: 1px solid var(--line); border-radius: .6rem;
  padding: .6rem 1rem; min-width: 10rem; } .card b { display: block; font-size: 1.3rem; }
.charts { margin-top: 1rem; display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .6rem; padding: .6rem; }
figcaption { font-size: .85rem; } svg { width: 100%; height: auto; } svg text { font-size: 10px; fill: var(--grey); }
.grid { stroke: var(--line); } polyline { fill: none; stroke-width: 1.8; }
.key { margin-left: .8rem; } .key::before { content: ""; display: inline-block; width: .9rem; height: .2rem;
  margin-right: .3rem; vertical-align: middle; background: currentColor; }
polyline.now, circle.now { stroke: var(--blue); } circle.now { fill: var(--blue); } .key.now { color: var(--blue); }
polyline.limit, circle.limit { stroke: var(--red); stroke-dasharray: 4 3; } circle.limit { fill: none; stroke: none; }
.key.limit { color: var(--red); } polyline.then, circle.then { stroke: var(--grey); } circle.then { fill: var(--grey); }
.key.then { color: var(--grey); } footer { margin: 2rem 0; color: var(--grey); font-size: .85rem; }
"""


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def badge(text: str) -> str:
    return f'<span class="badge {escape(text)}">{escape(text)}</span>'


def moment(microseconds: int | None) -> str:
    return "–" if microseconds is None else f"{from_microseconds(microseconds):%Y-%m-%d %H:%M:%S}"


def day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def cell(text: str, style: str = "") -> str:
    return f'<td class="{style}">{text}</td>'


def table(headings: Sequence[str], rows: Iterable[str], *, empty: str) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    if not body:
        return f"<p>{escape(empty)}</p>"
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def page(histories: Sequence[tuple[History, Numbers]]) -> str:
    """Every use case, one under the other."""
    body = "".join(use_case_section(history, numbers) for history, numbers in histories)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Flywheel: monitoring</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>Flywheel: monitoring</h1>{body}"
        '<footer>Times are UTC. <a href="/metrics">Metrics</a> for Prometheus.</footer></body></html>'
    )


def use_case_section(history: History, numbers: Numbers) -> str:
    newest = history.results[-1][1] if history.results else None
    state = f"{badge(newest.decision)} {escape(newest.reason)}" if newest else "No window was judged yet."
    paused = " The loop is paused." if history.paused else ""
    return (
        f"<h2>{escape(history.use_case)}</h2><p>{state}{paused}</p>{cards(history, numbers)}"
        f'<div class="charts">{charts(history.results)}</div>'
        f"<h2>Windows</h2>{windows_table(history.results)}<h2>Incidents</h2>{incidents_table(history.incidents)}"
        f"<h2>Trainings</h2>{trainings_table(history)}<h2>Releases</h2>{releases_table(history)}"
        f"<h2>Columns of the newest window</h2>{columns_table(newest)}"
        f"<h2>Quality of the deliveries</h2>{quality_table(history)}"
    )


def cards(history: History, numbers: Numbers) -> str:
    """What runs, and the five numbers of the loop."""
    version = history.results[-1][1].model_version if history.results else "–"
    facts = [
        ("serving version", version),
        ("alarms waiting", str(history.num_waiting)),
        ("alarm to new model serving, s", number(numbers.alarm_to_serving_seconds, 0)),
        ("failed requests per promotion", number(numbers.failed_requests_per_promotion, 1)),
        (
            "false alarms / budget",
            f"{number(numbers.num_false_alarms, 0)} / {number(numbers.false_alarms_budgeted, 1)}",
        ),
        ("training-serving mismatches", number(numbers.num_mismatches, 0)),
        ("retrainings that won", number(numbers.retrainings_that_won_share, 2)),
    ]
    return (
        f'<div class="cards">{"".join(f"<div class=card><b>{escape(v)}</b>{escape(k)}</div>" for k, v in facts)}</div>'
    )


def charts(results: Sequence[tuple[DataInterval, Result]]) -> str:
    ticks = [f"{window.end:%d %b}" for window, _ in results]
    scores = [result.performance.scores for _, result in results]
    skill = [result.performance.threshold for _, result in results]
    drift = [result.drift for _, result in results]
    return "".join(
        (
            chart(
                "Skill against the base rate",
                ticks,
                [
                    Line(name="window", values=[each.skill if each else None for each in scores], style="now"),
                    Line(
                        name="reference",
                        values=[each.reference_skill if each else None for each in skill],
                        style="then",
                    ),
                    Line(
                        name="alarm below",
                        values=[each.reference_skill - each.drop if each else None for each in skill],
                        style="limit",
                    ),
                ],
            ),
            chart(
                "Drift weighted by importance",
                ticks,
                [
                    Line(name="window", values=[each.weighted for each in drift], style="now"),
                    Line(
                        name="alarm above",
                        values=[each.thresholds.weighted if each.thresholds else None for each in drift],
                        style="limit",
                    ),
                ],
            ),
            chart(
                "Log loss",
                ticks,
                [Line(name="window", values=[each.log_loss if each else None for each in scores], style="now")],
            ),
            chart(
                "Base rate",
                ticks,
                [Line(name="base rate", values=[each.base_rate if each else None for each in scores], style="now")],
            ),
        )
    )


def windows_table(results: Sequence[tuple[DataInterval, Result]]) -> str:
    headings = (
        *("window", "decision", "report", "version", "answers", "labelled", "AUC", "log loss", "skill", "reference"),
        *("drifted", "weighted", "why"),
    )
    return table(headings, [window_row(*each) for each in reversed(results)], empty="No window was judged yet.")


def window_row(window: DataInterval, result: Result) -> str:
    scores, skill = result.performance.scores, result.performance.threshold
    link = f'<a href="/reports/{escape(result.report)}">drift</a>' if result.report else "–"
    return "".join(
        (
            cell(f"{day(window.start)} – {day(window.end)}", "t"),
            cell(badge(result.decision)),
            cell(link),
            cell(escape(result.model_version), "n"),
            cell(f"{result.num_rows:,}", "n"),
            cell(f"{scores.num_rows if scores else 0:,}", "n"),
            cell(number(scores.auc if scores else None), "n"),
            cell(number(scores.log_loss if scores else None), "n"),
            cell(number(scores.skill if scores else None), "n"),
            cell(number(skill.reference_skill if skill else None), "n"),
            cell(f"{number(result.num_drifted, 0)}/{result.num_compared}", "n"),
            cell(number(result.drift.weighted, 2), "n"),
            cell(escape(result.reason), "why"),
        )
    )


def incidents_table(incidents: Sequence[IncidentRow]) -> str:
    rows = [
        "".join(
            (
                cell(moment(row.opened_at), "t"),
                cell(escape(row.severity)),
                cell(escape(row.alert_group)),
                cell(badge(row.state)),
                cell(escape(row.reason), "why"),
                cell(escape(row.outcome), "why"),
                cell(escape(row.training_id or "–"), "t"),
                cell(escape(row.model_version or "–"), "n"),
                cell(f"<code>{escape(row.incident_id)}</code>"),
            )
        )
        for row in reversed(incidents)
    ]
    headings = ("opened", "severity", "group", "state", "reason", "outcome", "training", "version", "incident")
    return table(headings, rows, empty="No incident was opened.")


def trainings_table(history: History) -> str:
    rows = [
        "".join(
            (
                cell(moment(row.admitted_at), "t"),
                cell(escape(row.training_id), "t"),
                cell(badge(row.state)),
                cell(escape(row.model_version or "–"), "n"),
                cell(escape(row.reason), "why"),
                cell(escape(row.outcome), "why"),
            )
        )
        for row in reversed(history.trainings)
    ]
    return table(
        ("admitted", "training", "state", "version", "reason", "outcome"), rows, empty="Nothing was trained yet."
    )


def releases_table(history: History) -> str:
    rows = [
        "".join(
            (
                cell(escape(row.model_version), "n"),
                cell(escape(row.set_by)),
                cell(moment(row.alias_set_at_wall), "t"),
                cell(moment(row.served_at_wall), "t"),
                cell(escape(row.reason), "why"),
            )
        )
        for row in reversed(history.releases)
    ]
    headings = ("version", "set by", "alias set (wall)", "served (wall)", "reason")
    return table(headings, rows, empty="No version was released yet.")


def columns_table(newest: Result | None) -> str:
    columns = sorted(newest.drift.columns, key=lambda each: -each.distance / each.threshold)[:25] if newest else []
    rows = [
        "".join(
            (
                cell(escape(each.column)),
                cell(number(each.distance), "n"),
                cell(number(each.threshold), "n"),
                cell(number(each.weight), "n"),
                cell(("drifted" if each.drifted else "") if each.triggers else "never triggers"),
            )
        )
        for each in columns
    ]
    return table(("column", "distance", "threshold", "weight", ""), rows, empty="No column was compared yet.")


def quality_table(history: History) -> str:
    rows = [
        "".join(
            (
                cell(f"{moment(row.interval_start)} – {moment(row.interval_end)}", "t"),
                cell(escape(row.source)),
                cell(f"{row.num_rows:,}", "n"),
                cell(f"{row.num_quarantined:,}", "n"),
                cell("refused" if row.failed else number(row.score if row.num_rows else None, 4), "n"),
            )
        )
        for row in list(reversed(history.quality))[:40]
    ]
    return table(("interval", "source", "rows", "quarantined", "score"), rows, empty="Nothing was ingested yet.")
