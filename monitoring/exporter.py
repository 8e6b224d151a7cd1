"""The metrics for Prometheus, made anew for each scrape from what the checks wrote.

Every label's values come from declarations or closed sets, never from a caller: use case, column, source, state.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from feature_repo.contracts.control import IncidentState, TrainingState
from monitoring.decision import Decision
from monitoring.history import History, Numbers
from monitoring.results import Result
from monitoring.spec import Severity

Value = tuple[tuple[str, ...], float]


class Snapshot:
    """A collector of one moment."""

    def __init__(self, histories: list[tuple[History, Numbers]]) -> None:
        self.histories = histories

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, GaugeMetricFamily] = {}
        for history, numbers in self.histories:
            for name, help_, labels, values in families(history, numbers):
                family = by_name.setdefault(
                    name, GaugeMetricFamily(f"flywheel_{name}", help_, labels=("use_case", *labels))
                )
                for label_values, value in values:
                    family.add_metric((history.use_case, *label_values), value)
        yield from by_name.values()


Family = tuple[str, str, tuple[str, ...], list[Value]]


def one(name: str, help_: str, value: float | None) -> Family:
    return name, help_, (), [] if value is None else [((), float(value))]


def families(history: History, numbers: Numbers) -> Iterator[Family]:
    """Name, help, labels and values; an unknown value has no sample rather than a false zero."""
    if history.results:
        window, result = history.results[-1]
        yield one("window_end_timestamp_seconds", "End of the newest judged window", window.end.timestamp())
        yield from of_result(result)
    yield from of_states(history)
    yield from of_numbers(numbers)


def of_result(result: Result) -> Iterator[Family]:
    scores, skill, drift = result.performance.scores, result.performance.threshold, result.drift
    decisions: list[Value] = [((each,), float(each == result.decision)) for each in Decision]
    yield "decision", "1 for the newest window's decision", ("decision",), decisions
    yield one("window_predictions", "Answers in the newest window", result.num_rows)
    yield one("window_degraded_predictions", "Degraded answers in the newest window", result.num_degraded)
    yield one("window_labelled_predictions", "Labelled answers of the served version", scores.num_rows if scores else 0)
    yield one("window_auc", "Area under the ROC curve", scores.auc if scores else None)
    yield one("window_log_loss", "Log loss, nats", scores.log_loss if scores else None)
    yield one("window_brier", "Brier score", scores.brier if scores else None)
    yield one("window_skill", "1 - log loss / log loss of the base rate", scores.skill if scores else None)
    yield one(
        "reference_skill", "The served version's skill on its held-out rows", skill.reference_skill if skill else None
    )
    yield one("skill_drop", "Reference skill minus window skill", result.performance.drop)
    yield one("skill_drop_threshold", "Drop that chance exceeds with the budget", skill.drop if skill else None)
    yield one("expected_skill", "Skill that unlabelled answers expect of themselves", result.estimate.expected_skill)
    yield one("weighted_drift", "Importance-weighted mean of distance over threshold", drift.weighted)
    yield one("weighted_drift_threshold", "Its threshold", drift.thresholds.weighted if drift.thresholds else None)
    yield one("drifted_columns", "Triggering columns over their threshold", result.num_drifted)
    ratios: list[Value] = [((column.column,), column.distance / column.threshold) for column in drift.columns]
    yield "drift_ratio", "Distance from the reference over its threshold", ("column",), ratios
    quality: list[Value] = [((source,), score) for source, score in result.quality.items() if score is not None]
    yield "quality_score", "Share of delivered rows that passed, in the newest window", ("source",), quality
    yield one("window_defects", "Defects of the data in the newest window", len(result.defects))
    yield one("check_seconds", "Duration of the newest check", result.seconds)


def of_states(history: History) -> Iterator[Family]:
    incidents = [(row.state, row.severity) for row in history.incidents]
    counts: list[Value] = [
        ((state, severity), float(incidents.count((state, severity))))
        for state in IncidentState
        for severity in Severity
    ]
    yield "incidents", "Incidents by state and severity", ("state", "severity"), counts
    states = [row.state for row in history.trainings]
    trainings: list[Value] = [((state,), float(states.count(state))) for state in TrainingState]
    yield "trainings", "Trainings by state", ("state",), trainings
    yield one("releases", "Versions that took over", sum(row.served_at_wall is not None for row in history.releases))
    yield one("alarms_waiting", "Alarms that no training has claimed", history.num_waiting)
    yield one("loop_paused", "1 while a person has paused the loop", float(history.paused))


def of_numbers(numbers: Numbers) -> Iterator[Family]:
    yield one(
        "alarm_to_serving_seconds",
        "Wall time from an alarm to its new model serving, median",
        numbers.alarm_to_serving_seconds,
    )
    yield one(
        "failed_requests_per_promotion",
        "Requests that failed while a version took over, mean",
        numbers.failed_requests_per_promotion,
    )
    yield one("false_alarms", "Alarms whose training did not beat the champion", numbers.num_false_alarms)
    yield one("false_alarms_budgeted", "False alarms that the judged windows allow", numbers.false_alarms_budgeted)
    yield one("training_serving_mismatches", "Vectors served otherwise than trained on", numbers.num_mismatches)
    yield one(
        "retrainings_that_won_share",
        "Share of retrainings that beat the champion",
        numbers.retrainings_that_won_share,
    )


def exposition(histories: list[tuple[History, Numbers]]) -> bytes:
    registry = CollectorRegistry()
    registry.register(Snapshot(histories))
    return generate_latest(registry)
