"""In years in which nothing can drift, alarms stay within the 95 % interval of the declared budget."""

from monitoring.placebo import allowed, budgets, placebo_years
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
