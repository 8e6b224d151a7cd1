"""The pictures of an evaluation: ROC, calibration, slices and the learning curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from training.checkpoint import Epoch
from training.evaluate import Array, Metrics, calibration_bins

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen first: there is no screen)
from matplotlib.axes import Axes  # noqa: E402


def draw_all(
    folder: Path, label: Array, probability: Array, slices: Mapping[str, Metrics], history: Sequence[Epoch]
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    drawers = {
        "roc": lambda axes: draw_roc(axes, label, probability),
        "calibration": lambda axes: draw_calibration(axes, label, probability),
        "slices": lambda axes: draw_slices(axes, slices),
        "learning_curve": lambda axes: draw_learning_curve(axes, history),
    }
    paths = []
    for name, draw in drawers.items():
        figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
        draw(axes)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110)
        plt.close(figure)
    return paths


def draw_roc(axes: Axes, label: Array, probability: Array) -> None:
    order = np.argsort(-probability, kind="stable")
    hits, misses = np.cumsum(label[order]), np.cumsum(1 - label[order])
    axes.plot(misses / misses[-1], hits / hits[-1])
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC on the gate's rows")


def draw_calibration(axes: Axes, label: Array, probability: Array) -> None:
    expected, observed, _ = calibration_bins(label, probability)
    axes.plot(expected, observed, marker="o")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="mean probability", ylabel="observed rate", title="Calibration on the gate's rows")


def draw_slices(axes: Axes, slices: Mapping[str, Metrics]) -> None:
    names = list(slices)
    axes.barh(names, [slices[name].auc for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="AUC", title="Slices of the gate's rows", xlim=(0.5, 1))


def draw_learning_curve(axes: Axes, history: Sequence[Epoch]) -> None:
    numbers = [epoch.number + 1 for epoch in history]
    axes.plot(numbers, [epoch.train_loss for epoch in history], marker="o", label="train, with dropout and noise")
    axes.plot(numbers, [epoch.held_out_loss for epoch in history], marker="o", label="held out")
    axes.set(xlabel="epoch", ylabel="log loss", title="Learning curve", xticks=numbers)
    axes.legend()
