"""Charts of any values, and of none."""

import re

from hypothesis import given
from hypothesis import strategies as st

from monitoring.charts import HEIGHT, WIDTH, Line, chart


def line(*values: float | None) -> Line:
    return Line(name="line", values=values, style="now")


def points(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([^"]+)" cy="([^"]+)"', svg)]


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=9))
def test_every_value_lies_inside_its_chart(values: list[float | None]) -> None:
    svg = chart("title", ["tick"] * len(values), [line(*values)])
    assert len(points(svg)) == sum(value is not None for value in values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(svg))
    assert "nan" not in svg


def test_values_below_zero_hang_from_it() -> None:
    (_, higher), (_, lower) = points(chart("title", ["a", "b"], [line(-1.0, -1.08)]))
    assert lower > higher


def test_without_a_value_there_is_no_chart() -> None:
    assert chart("title", [], []) == chart("title", ["a"], [line(None)]) == ""


def test_a_window_without_a_value_breaks_the_line() -> None:
    svg = chart("title", list("abcde"), [line(1.0, 2.0, None, 3.0, 4.0)])
    assert [len(each.split()) for each in re.findall(r'points="([^"]*)"', svg)] == [2, 2]
