"""Rows as monitoring sees them, from the log or from a training set: vectors, probability, label, day.

Columns are NumPy arrays, so that the same code judges a window of the log, a reference and a table in a test.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Strings = NDArray[np.object_]
Mask = NDArray[np.bool_]

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`n` rows. Numeric columns hold NaN where absent, string columns "". `label` is 1, 0, or NaN: not known or none.

    `at` is the prediction time in microseconds since the epoch, UTC.
    """

    numeric: dict[str, Floats]
    categorical: dict[str, Strings]
    at: Integers
    probability: Floats
    label: Floats

    def __len__(self) -> int:
        return len(self.at)

    @property
    def day(self) -> Integers:
        return self.at // MICROSECONDS_PER_DAY

    @property
    def labelled(self) -> "Sample":
        return self.where(~np.isnan(self.label))

    def where(self, rows: Mask | Integers) -> "Sample":
        return Sample(
            numeric={name: values[rows] for name, values in self.numeric.items()},
            categorical={name: values[rows] for name, values in self.categorical.items()},
            at=self.at[rows],
            probability=self.probability[rows],
            label=self.label[rows],
        )

    def at_most(self, num_rows: int, *, seed: int = 0) -> "Sample":
        """A seeded sample without replacement, in the order of time; itself if it is small enough."""
        if len(self) <= num_rows:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), num_rows, replace=False)
        return self.where(np.sort(chosen))


def concatenate(samples: Iterable[Sample]) -> Sample:
    """Rows of several samples with the same columns. Raises ValueError if there is none."""
    several = list(samples)
    if not several:
        raise ValueError("no sample to concatenate")
    first = several[0]
    return Sample(
        numeric={name: np.concatenate([sample.numeric[name] for sample in several]) for name in first.numeric},
        categorical={
            name: np.concatenate([sample.categorical[name] for sample in several]) for name in first.categorical
        },
        at=np.concatenate([sample.at for sample in several]),
        probability=np.concatenate([sample.probability for sample in several]),
        label=np.concatenate([sample.label for sample in several]),
    )
