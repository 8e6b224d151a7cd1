"""The page that a person reads before releasing a version has no figure that is none."""

from collections.abc import Mapping

import numpy as np
import pytest

from training.evaluate import Metrics, measure
from training.model_card import write_model_card
from training.training_set import GATE, DatasetFacts, Part
from training.use_cases.flight_delay import TRAINING

PROBABILITY = np.linspace(0, 1, 10)
ONE_CLASS, BOTH = measure(np.zeros(10), PROBABILITY), measure(np.array([0.0, 1.0] * 5), PROBABILITY)


def card(metrics: Metrics, slices: Mapping[str, Metrics]) -> str:
    part = Part(start="2013-01-01", end="2013-01-15", num_rows=10, num_positive=0)
    facts = DatasetFacts(digest="d", feature_service="f", parts={GATE: part}, unlabelled={}, gold_versions={})
    return write_model_card(
        TRAINING.contract, facts, metrics, slices, training_id="t", commit="c", reasons="asked", incidents=[]
    )


@pytest.mark.parametrize(
    ("slices", "line"),
    [
        ({}, "| no slice has enough rows | | | | | |"),
        ({"origin=EWR": ONE_CLASS}, "| origin=EWR | 10 | 0.000 | none, one class |"),
    ],
    ids=["no slices", "one class"],
)
def test_what_cannot_be_measured_is_said(slices: dict[str, Metrics], line: str) -> None:
    text = card(ONE_CLASS, slices)
    assert line in text
    assert "AUC none, one class, log loss" in text
    assert "nan" not in text


def test_what_can_be_measured_is_a_figure() -> None:
    text = card(BOTH, {"origin=EWR": BOTH})
    assert f"AUC {BOTH.auc:.4f}, log loss {BOTH.log_loss:.4f}" in text
    assert f"| origin=EWR | 10 | 0.500 | {BOTH.auc:.3f} | {BOTH.log_loss:.3f} | {BOTH.ece:.3f} |" in text
