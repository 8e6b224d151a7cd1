"""How good probabilities are: ranking, loss, calibration, and each of them by slice. NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64] | NDArray[np.float32]
CLIP = 1e-7
NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """`auc` is None where the rows are of one class."""

    num_rows: int
    base_rate: float
    auc: float | None
    log_loss: float
    brier: float
    ece: float


def area_under_curve(label: Array, probability: Array) -> float | None:
    """Chance that a positive row is ranked above a negative one, ties counting half; None with a single class."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[place][label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_losses(label: Array, probability: Array) -> NDArray[np.float64]:
    """Loss of each row in nats; a probability is taken no nearer to 0 or 1 than 1e-7."""
    likely = np.clip(np.where(label == 1, probability, 1 - probability.astype(np.float64)), CLIP, 1)
    losses: NDArray[np.float64] = -np.log(likely)
    return losses


def calibration_bins(
    label: Array, probability: Array
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean probability, observed rate and rows of `NUM_BINS` bins that hold equally many rows."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    expected = np.array([probability[part].mean(dtype=np.float64) for part in parts])
    observed = np.array([label[part].mean(dtype=np.float64) for part in parts])
    return expected, observed, np.array([len(part) for part in parts])


def expected_calibration_error(label: Array, probability: Array) -> float:
    expected, observed, rows = calibration_bins(label, probability)
    return float(np.average(np.abs(expected - observed), weights=rows))


def measure(label: Array, probability: Array) -> Metrics:
    """Raises ValueError if there is no row."""
    if len(label) == 0:
        raise ValueError("no rows to measure a model on")
    return Metrics(
        num_rows=len(label),
        base_rate=float(label.mean(dtype=np.float64)),
        auc=area_under_curve(label, probability),
        log_loss=float(log_losses(label, probability).mean()),
        brier=float(np.mean((probability.astype(np.float64) - label) ** 2)),
        ece=expected_calibration_error(label, probability),
    )


def measure_slices(
    label: Array, probability: Array, values: NDArray[np.object_], *, min_rows: int
) -> dict[str, Metrics]:
    """Metrics of each value with at least `min_rows` rows, the largest first."""
    names, counts = np.unique(values.astype(str), return_counts=True)
    largest_first = names[np.argsort(-counts, kind="stable")]
    members = {str(name): values.astype(str) == name for name in largest_first}
    return {name: measure(label[rows], probability[rows]) for name, rows in members.items() if rows.sum() >= min_rows}
