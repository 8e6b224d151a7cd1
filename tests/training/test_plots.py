"""The pictures say it where there is nothing to draw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluate import Metrics, measure
from training.plots import draw_roc, draw_slices

PROBABILITY = np.linspace(0, 1, 10)
BOTH = np.array([0.0, 1.0] * 5)


def drawn(draw: Callable[[Axes], None]) -> Axes:
    axes = Figure().add_subplot()
    with np.errstate(all="raise"):
        draw(axes)
    return axes


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rows_of_one_class_have_no_curve(label: float) -> None:
    axes = drawn(lambda axes: draw_roc(axes, np.full(10, label), PROBABILITY))
    assert axes.get_title() == "No ROC: the gate's rows are of one class"
    assert len(axes.lines) == 1, "the diagonal alone"
    both = drawn(lambda axes: draw_roc(axes, BOTH, PROBABILITY))
    assert (both.get_title(), len(both.lines)) == ("ROC on the gate's rows", 2)


@pytest.mark.parametrize(
    ("slices", "names", "title"),
    [
        ({}, [], "No slice has enough rows of both classes"),
        ({"one": measure(BOTH * 0, PROBABILITY)}, [], "No slice has enough rows of both classes"),
        (
            {"one": measure(BOTH * 0, PROBABILITY), "both": measure(BOTH, PROBABILITY)},
            ["both"],
            "Slices of the gate's rows",
        ),
    ],
    ids=["none", "of one class", "one of them"],
)
def test_slices_without_a_ranking_have_no_bar(slices: dict[str, Metrics], names: list[str], title: str) -> None:
    axes = drawn(lambda axes: draw_slices(axes, slices))
    assert axes.get_title() == title
    assert len(axes.patches) == len(names)
    assert [text.get_text() for text in axes.get_yticklabels()][: len(names)] == names


def test_a_slice_whose_name_is_a_formula_to_matplotlib_is_drawn_as_it_is(tmp_path: Path) -> None:
    figure, slices = Figure(), {"a=$x_$y$": measure(BOTH, PROBABILITY)}
    draw_slices(figure.add_subplot(), slices)
    figure.savefig(tmp_path / "slices.svg", metadata={"Date": None})
    assert "a=$x_$y$" in (tmp_path / "slices.svg").read_text()
