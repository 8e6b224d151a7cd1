"""In years in which nothing can drift, alarms stay within the 95 % interval of the declared budget."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring.placebo import allowed, budgets, placebo_years, read_table
from monitoring.reference import table_of_sample
from tests.monitoring.world import SPEC, WEIGHTS, draw


def test_alarms_of_placebo_years_stay_within_the_budgets_interval() -> None:
    year = draw(0, num_days=364, rows_per_day=120)
    years = placebo_years(SPEC, year, seeds=range(4), weights=WEIGHTS, rows_per_window=1400)
    num_windows = sum(each.num_windows for each in years)
    assert num_windows == 4 * 13
    for name, budget in budgets(SPEC).items():
        assert sum(getattr(each, name) for each in years) <= allowed(budget, num_windows)[1], name


def test_the_control_a_year_that_drifts_breaks_the_budget() -> None:
    tight = draw(0, num_days=182, rows_per_day=120)
    moved = draw(1, num_days=182, rows_per_day=120, decay=0.6)
    from monitoring.performance import judge_performance

    alarms = 0
    for start in range(0, 182 - 14, 14):
        rows = (moved.day >= moved.day.min() + start) & (moved.day < moved.day.min() + start + 14)
        verdict = judge_performance(moved.where(rows), tight, tight, window=SPEC.window, policy=SPEC.performance)
        alarms += verdict.status == "dropped"
    assert alarms > allowed(budgets(SPEC)["performance"], 12)[1]


def test_windows_that_could_not_be_judged_are_no_windows_without_alarm() -> None:
    few = draw(0, num_days=56, rows_per_day=10)
    with pytest.raises(ValueError, match=r"none of 2 placebo windows could be judged: insufficient: 140 labelled rows"):
        placebo_years(SPEC, few, seeds=range(1))
    several = draw(0, num_days=56, rows_per_day=60)
    with pytest.raises(ValueError, match="one class only"):
        placebo_years(SPEC, replace(several, label=np.zeros(len(several))), seeds=range(1))
    (year,) = placebo_years(SPEC, several, seeds=range(1))
    assert (year.num_windows, year.num_insufficient) == (2, 0)


@pytest.mark.parametrize("num_rows", [0, 60], ids=["no row", "one day"])
def test_a_table_of_too_few_days_is_refused_with_their_number(num_rows: int) -> None:
    sample = draw(0, num_days=28, rows_per_day=60)
    with pytest.raises(ValueError, match=rf"{num_rows // 60} days with labels; a placebo year needs at least 28"):
        placebo_years(SPEC, sample.where(np.arange(num_rows)), seeds=range(1))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no table .*none.parquet; give a Parquet file with --table"):
        read_table(SPEC, tmp_path / "none.parquet")


def test_a_table_without_its_columns_is_refused_with_their_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"probability": [0.5]}), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"has no columns \['category', 'label', 'prediction_time', 'strong'"):
        read_table(SPEC, tmp_path / "table.parquet")


def test_a_table_without_a_row_is_read_and_has_no_day(tmp_path: Path) -> None:
    sample = draw(0, num_days=1, rows_per_day=10)
    table = table_of_sample(SPEC.contract, sample.where(np.zeros(10, bool)))
    pq.write_table(table, tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="0 days with labels"):
        placebo_years(SPEC, read_table(SPEC, tmp_path / "table.parquet"), seeds=range(1))
