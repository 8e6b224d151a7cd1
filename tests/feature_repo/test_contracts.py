"""What a use case must have for its layers to have something to do, and what it need not have."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from feature_repo.contracts.flight_delay import FLIGHT_DELAY, VIEWS


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: replace(FLIGHT_DELAY, sources=()), "flight_delay: needs a source and a view"),
        (lambda: replace(FLIGHT_DELAY, views=()), "flight_delay: needs a source and a view"),
        (lambda: replace(VIEWS[0], join_keys=()), "view origin_traffic: needs a join key and a column"),
        (lambda: replace(VIEWS[0], columns=()), "view origin_traffic: needs a join key and a column"),
    ],
    ids=["sources", "views", "join keys", "columns"],
)
def test_a_declaration_of_nothing_is_refused(declare: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        declare()


def test_a_use_case_may_compute_nothing_at_the_time_of_a_request() -> None:
    assert replace(FLIGHT_DELAY, request_columns=()).vector == FLIGHT_DELAY.view_columns
