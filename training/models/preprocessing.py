"""The preprocessing that lives inside the model, so that a version is self-contained and cannot be fed differently.

Numbers go through a piecewise-linear map to a normal quantile, absence becomes 0 plus a mask; strings become codes.
Nothing here is learned by gradient: it is fitted once, on the training rows, in NumPy, and kept as buffers.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FloatArray = NDArray[np.float32]
LOWEST_LEVEL = 1e-3  # the tails map to +-3.09; beyond the outermost knots the map is flat


@dataclass(frozen=True, kw_only=True)
class QuantileTable:
    """One straight piece per row and column, `(num_features, num_pieces)`; a padding piece has no rise."""

    left: FloatArray
    inverse_width: FloatArray
    rise: FloatArray
    floor: FloatArray  # (num_features,), the value left of every knot
    masked: tuple[int, ...]  # columns whose absence the model is told


def fit_quantile_table(numeric: FloatArray, *, num_knots: int, mask_from_missing_share: float) -> QuantileTable:
    """`numeric` is `(num_rows, num_features)`, NaN where absent. A column without two distinct values maps to 0."""
    num_features, num_pieces = numeric.shape[1], num_knots - 1
    left = np.zeros((num_features, num_pieces), np.float32)
    inverse_width = np.ones((num_features, num_pieces), np.float32)
    rise = np.zeros((num_features, num_pieces), np.float32)
    floor = np.zeros(num_features, np.float32)
    for index in range(num_features):
        column = numeric[:, index]
        knots, heights = normal_knots(column[~np.isnan(column)], num_knots)
        if len(knots) > 1:
            pieces = len(knots) - 1
            left[index, :pieces] = knots[:-1]
            inverse_width[index, :pieces] = 1 / np.diff(knots)
            rise[index, :pieces] = np.diff(heights)
            floor[index] = heights[0]
    missing_share = np.isnan(numeric).mean(axis=0)
    masked = tuple(int(index) for index in np.flatnonzero(missing_share > mask_from_missing_share))
    return QuantileTable(left=left, inverse_width=inverse_width, rise=rise, floor=floor, masked=masked)


def normal_knots(values: FloatArray, num_knots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distinct quantiles of `values` and the normal quantile of each; a repeated one gets the middle of its levels."""
    if len(values) == 0:
        return np.empty(0), np.empty(0)
    levels = np.linspace(0, 1, num_knots)
    quantiles = np.quantile(values.astype(np.float64), levels, method="closest_observation")
    knots, first, counts = np.unique(quantiles, return_index=True, return_counts=True)
    middle = (levels[first] + levels[first + counts - 1]) / 2
    normal = NormalDist()
    heights = np.array([normal.inv_cdf(level) for level in np.clip(middle, LOWEST_LEVEL, 1 - LOWEST_LEVEL)])
    return knots, heights


class QuantileMap(nn.Module):
    """Raw numbers to roughly normal ones, absent ones to 0."""

    left: Tensor
    inverse_width: Tensor
    rise: Tensor
    floor: Tensor

    def __init__(self, table: QuantileTable) -> None:
        super().__init__()
        for name in ("left", "inverse_width", "rise", "floor"):
            self.register_buffer(name, torch.from_numpy(getattr(table, name)))
        self.masked = list(table.masked)

    def forward(self, numeric: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, num_features)` to the same shape and `(batch, num_masked)`."""
        absent = torch.isnan(numeric)
        known = torch.where(absent, torch.zeros_like(numeric), numeric)
        climbed = ((known.unsqueeze(-1) - self.left) * self.inverse_width).clamp(0, 1)  # (batch, features, pieces)
        mapped = self.floor + (climbed * self.rise).sum(-1)
        return torch.where(absent, torch.zeros_like(mapped), mapped), absent[:, self.masked].to(numeric.dtype)


def fit_vocabulary(values: NDArray[np.str_], *, min_count: int) -> tuple[str, ...]:
    """The strings seen at least `min_count` times, sorted; the code of a string is its place plus 1, of others 0."""
    strings, counts = np.unique(values, return_counts=True)
    return tuple(str(string) for string in strings[(counts >= min_count) & (strings != "")])


def encode(values: NDArray[np.str_], vocabulary: tuple[str, ...]) -> NDArray[np.int64]:
    if not vocabulary:
        return np.zeros(len(values), np.int64)
    known = np.array(vocabulary)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, place + 1, 0).astype(np.int64)
