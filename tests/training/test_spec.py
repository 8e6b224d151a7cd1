"""A declaration that would train, or judge, on nothing is refused when it is read."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from training.use_cases.flight_delay import TRAINING


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: replace(TRAINING.fit, num_epochs=0), "num_epochs 0 and batch_size 1024 must be at least 1"),
        (lambda: replace(TRAINING.fit, batch_size=0), "num_epochs 3 and batch_size 0 must be at least 1"),
        (lambda: replace(TRAINING.model, num_knots=1), "num_knots is 1"),
        (lambda: replace(TRAINING.split, min_rows_per_class=0), "of one class nothing can be learned"),
        (lambda: replace(TRAINING.gate, min_days=1), "a difference between days needs two"),
        (
            lambda: replace(
                TRAINING,
                model=replace(TRAINING.model, excluded=(*TRAINING.numeric, *TRAINING.categorical, "aircraft_back_at")),
            ),
            "every column of the vector is excluded",
        ),
    ],
    ids=["no epoch", "no batch", "no piece", "no class", "no spread", "no input"],
)
def test_nothing_to_learn_from_or_to_judge_by_is_refused(declare: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        declare()
