"""The pictures of an evaluation: ROC, calibration, slices and the learning curve."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.checkpoint import Epoch
from training.evaluate import Array, Metrics, calibration_bins


def draw_all(
    folder: Path, label: Array, probability: Array, slices: Mapping[str, Metrics], history: Sequence[Epoch]
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    drawers: dict[str, Callable[[Axes], None]] = {
        "roc": lambda axes: draw_roc(axes, label, probability),
        "calibration": lambda axes: draw_calibration(axes, label, probability),
        "slices": lambda axes: draw_slices(axes, slices),
        "learning_curve": lambda axes: draw_learning_curve(axes, history),
    }
    paths = []
    for name, draw in drawers.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        draw(figure.add_subplot())
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths


def draw_roc(axes: Axes, label: Array, probability: Array) -> None:
    order = np.argsort(-probability, kind="stable")
    hits, misses = np.cumsum(label[order]), np.cumsum(1 - label[order])
    title = "No ROC: the gate's rows are of one class"
    if hits[-1] and misses[-1]:
        title = "ROC on the gate's rows"
        axes.plot(misses / misses[-1], hits / hits[-1])
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=title)


def draw_calibration(axes: Axes, label: Array, probability: Array) -> None:
    expected, observed, _ = calibration_bins(label, probability)
    axes.plot(expected, observed, marker="o")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="mean probability", ylabel="observed rate", title="Calibration on the gate's rows")


def draw_slices(axes: Axes, slices: Mapping[str, Metrics]) -> None:
    auc_by_name = {name: each.auc for name, each in slices.items() if each.auc is not None}
    axes.barh(range(len(auc_by_name)), list(auc_by_name.values()))
    axes.set_yticks(range(len(auc_by_name)), list(auc_by_name), parse_math=False)
    axes.invert_yaxis()
    title = "Slices of the gate's rows" if auc_by_name else "No slice has enough rows of both classes"
    axes.set(xlabel="AUC", title=title, xlim=(0.5, 1))


def draw_learning_curve(axes: Axes, history: Sequence[Epoch]) -> None:
    numbers = [epoch.number + 1 for epoch in history]
    axes.plot(numbers, [epoch.train_loss for epoch in history], marker="o", label="train, with dropout and noise")
    axes.plot(numbers, [epoch.held_out_loss for epoch in history], marker="o", label="held out")
    axes.set(xlabel="epoch", ylabel="log loss", title="Learning curve", xticks=numbers)
    axes.legend()
