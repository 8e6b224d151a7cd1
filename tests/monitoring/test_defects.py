"""Defects that a person would call one are found, and a season is not one."""

import numpy as np
import pytest

from monitoring.defects import Defect, find_defects
from monitoring.sample import Sample
from tests.monitoring.world import DAY, SPEC, START, draw

REFERENCE = draw(0, num_days=60, rows_per_day=100)


def window() -> Sample:
    return draw(1, num_days=14, rows_per_day=100, first=START + 60 * DAY)


def defects_of(sample: Sample) -> list[Defect]:
    return find_defects(sample, REFERENCE, [], SPEC)


def test_a_healthy_window_has_none() -> None:
    assert defects_of(window()) == []


@pytest.mark.parametrize("factor", [60.0, 1 / 60, 1000.0], ids=["seconds", "hours", "thousandths"])
def test_a_change_of_unit_names_the_column_and_the_factor(factor: float) -> None:
    sample = window()
    sample.numeric["weak"][:] *= factor
    (defect,) = defects_of(sample)
    assert defect.subject == "weak"
    assert f"a factor of {max(factor, 1 / factor):g}" in defect.what


def test_values_that_triple_are_a_season_and_no_change_of_unit() -> None:
    sample = window()
    sample.numeric["weak"][:] *= 3
    assert defects_of(sample) == []


def test_a_day_without_a_column_is_a_defect() -> None:
    sample = window()
    sample.numeric["strong"][sample.day == sample.day.min() + 5] = np.nan
    (defect,) = defects_of(sample)
    assert (defect.subject, "null share 1.00" in defect.what) == ("strong", True)
