"""The reference of a version: what its inputs weigh, also where there is no row to tell it by."""

import numpy as np
import pytest

from monitoring.reference import importance
from tests.monitoring.world import TrueModel, draw


def test_the_input_that_the_model_relies_on_weighs_and_the_others_do_not() -> None:
    weights = importance(TrueModel(), draw(0, num_days=10, rows_per_day=100))
    assert weights["strong"] > 0.05
    assert weights["weak"] == weights["category"] == 0


@pytest.mark.filterwarnings("error")
def test_of_no_rows_nothing_is_known_about_any_input() -> None:
    sample = draw(0, num_days=1, rows_per_day=10)
    assert importance(TrueModel(), sample.where(np.zeros(len(sample), bool))) == {}
