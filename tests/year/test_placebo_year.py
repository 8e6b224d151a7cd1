"""A year in which nothing can drift: the days of 2013 in random order, so that every alarm is a false one.

The champion is trained on one half of the days, as training does it, and its thresholds come from that half; fortnights
of the other half are then judged one after another as `python -m monitoring check` does. Each alarm starts a
retraining, and one more is asked for at the year's end, so that the gate is tried whatever alarms. It gets the newest
days, as many as the champion had: with more of them a model is better in any year, and the gate rightly says so.
A day of 2013 really has no weather for most of its hours: where it falls, a defect of the weather is rightly named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from rich.table import Table

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from infra.clock import to_microseconds
from monitoring.decision import Decision, Judgement, judge
from monitoring.defects import find_defects
from monitoring.drift import judge_drift
from monitoring.estimate import estimate_performance
from monitoring.performance import judge_performance
from monitoring.placebo import allowed, budgets
from monitoring.reference import (
    Reference,
    ServedVersion,
    make_reference,
    reference_of,
    sample_of_table,
    with_probability,
)
from monitoring.sample import MICROSECONDS_PER_DAY, Floats, Sample
from monitoring.use_cases.flight_delay import MONITORING
from tests.year.fitted import Fitted, between, fit_until
from training import promotion
from training.gate import gate_rows
from training.promotion import Verdict
from training.rows import Rows
from training.scoring import score
from training.training_set import GATE, DatasetFacts, Part
from training.use_cases.flight_delay import TRAINING

pytestmark = pytest.mark.long

NUM_YEARS = 4
NUM_DAYS = 364
HALF = NUM_DAYS // 2
FORTNIGHT = 14
ANSWERS_PER_DAY = 400
BEGIN = datetime(2013, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return BEGIN + timedelta(days=number)


@dataclass(frozen=True)
class Asked:
    """A fitted model as monitoring asks it."""

    fitted: Fitted

    def inputs(self) -> tuple[str, ...]:
        return TRAINING.numeric + TRAINING.categorical

    def predict(self, sample: Sample) -> Floats:
        rows = Rows(
            numeric=np.stack([sample.numeric[name] for name in TRAINING.numeric], axis=1).astype(np.float32),
            categorical=np.stack([sample.categorical[name] for name in TRAINING.categorical], axis=1),
            label=sample.label.astype(np.float32),
        )
        return score(self.fitted.session, rows).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Year:
    """What a placebo year came to. `gains` are the retrainings' differences of log loss, with the gate's verdict."""

    judgements: list[Judgement]
    gate: list[promotion.Decision]

    def count(self, decision: Decision) -> int:
        return sum(judgement.decision is decision for judgement in self.judgements)


def shuffled(year: pa.Table, seed: int) -> pa.Table:
    """The rows of `NUM_DAYS` days, the days in random order; a row keeps its vector, its label and its time of day."""
    at = year["prediction_time"].cast(pa.int64()).to_numpy()
    days = at // MICROSECONDS_PER_DAY
    order = np.random.default_rng(seed).permutation(np.unique(days))[:NUM_DAYS]
    position = {int(day): index for index, day in enumerate(order)}
    kept = np.isin(days, order)
    moved = np.array([position[int(day)] for day in days[kept]]) + to_microseconds(BEGIN) // MICROSECONDS_PER_DAY
    times = pa.array(moved * MICROSECONDS_PER_DAY + at[kept] % MICROSECONDS_PER_DAY).cast(pa.timestamp("us", "UTC"))
    table = year.filter(pa.array(kept))
    return table.set_column(table.schema.get_field_index("prediction_time"), "prediction_time", times).sort_by(
        "prediction_time"
    )


def reference_from(champion: Fitted, folder: Path) -> Reference:
    path = folder / "dataset.parquet"
    pq.write_table(champion.table.append_column("split", pa.array(champion.split)), path)
    served = ServedVersion(version="1", training_id="placebo", run_id="placebo")
    return reference_of(MONITORING, served, make_reference(MONITORING, path, Asked(champion)))


def judge_fortnight(rows: pa.Table, champion: Fitted, reference: Reference, seed: int) -> Judgement:
    """What a check says of a fortnight's answers, a sample of its flights."""
    flights = sample_of_table(FLIGHT_DELAY, rows).at_most(ANSWERS_PER_DAY * FORTNIGHT, seed=seed)
    answers = with_probability(flights, Asked(champion))
    performance = judge_performance(
        answers, reference.held_out, reference.rows, window=MONITORING.window, policy=MONITORING.performance
    )
    drift = judge_drift(answers, reference.rows, spec=MONITORING, weights=reference.weights)
    newest = answers.where(answers.day >= answers.day.max() - 1)
    estimate = estimate_performance(newest, reference.held_out, policy=MONITORING.performance)
    return judge(performance, estimate, drift, find_defects(answers, reference.rows, [], MONITORING))


def put_before_gate(table: pa.Table, end: datetime, champion: Fitted, folder: Path) -> promotion.Decision:
    """A retraining on the newest days before `end`, judged on the rows that it left out."""
    challenger = fit_until(between(table, end - timedelta(days=HALF), end), end, folder)
    gate = challenger.part(GATE)
    first = gate["prediction_time"][0].as_py()
    part = Part(
        start=first.replace(hour=0, minute=0, second=0, microsecond=0).isoformat(), end="", num_rows=0, num_positive=0
    )
    rows = gate_rows(
        TRAINING, DatasetFacts(digest="", feature_service="", parts={GATE: part}, unlabelled={}, gold_versions={}), gate
    )
    both = challenger.probabilities(gate), champion.probabilities(gate)
    return promotion.decide(*both, rows, TRAINING.gate, against="the champion")


def play(year: pa.Table, seed: int, folder: Path) -> Year:
    table = shuffled(year, seed)
    champion = fit_until(between(table, BEGIN, day(HALF)), day(HALF), folder / "champion")
    reference = reference_from(champion, folder)
    judgements, gate = [], []
    for start in range(HALF, NUM_DAYS, FORTNIGHT):
        end = day(start + FORTNIGHT)
        judgements.append(judge_fortnight(between(table, day(start), end), champion, reference, seed))
        if judgements[-1].decision is Decision.RETRAIN or start + FORTNIGHT == NUM_DAYS:
            gate.append(put_before_gate(table, end, champion, folder / f"until{start}"))
    return Year(judgements=judgements, gate=gate)


def show(years: Sequence[Year]) -> None:
    table = Table("seed", "fortnights", *Decision, "retrainings", "passed", "largest gain")
    for seed, year in enumerate(years):
        passed = sum(decision.verdict is Verdict.PASSED for decision in year.gate)
        gain = max(decision.difference or 0.0 for decision in year.gate)
        counts = (str(year.count(decision)) for decision in Decision)
        table.add_row(str(seed), str(len(year.judgements)), *counts, str(len(year.gate)), str(passed), f"{gain:+.4f}")
    Console(width=120).print(table)


def test_false_alarms_keep_to_their_budget_and_no_retraining_passes_the_gate(year: pa.Table, tmp_path: Path) -> None:
    years = [play(year, seed, tmp_path / str(seed)) for seed in range(NUM_YEARS)]
    show(years)
    num_windows = sum(len(each.judgements) for each in years)
    low, high = allowed(budgets(MONITORING)["retrain"], num_windows)
    num_alarms = sum(each.count(Decision.RETRAIN) for each in years)
    print(f"{num_alarms} alarms in {num_windows} fortnights; 95 % interval of the budget: {low} to {high}")
    assert low <= num_alarms <= high
    defects = [each.reason for year_ in years for each in year_.judgements if each.decision is Decision.DATA_DEFECT]
    assert all(reason.startswith("weather_") and "null share" in reason for reason in defects), defects
    assert [decision for each in years for decision in each.gate if decision.verdict is Verdict.PASSED] == []
