"""What a use case declares about its training; everything else is machinery.

Frozen dataclasses without a framework behind them, so that reading a declaration costs no import of torch or MLflow.
"""

from dataclasses import dataclass
from datetime import timedelta

from feature_repo.contracts.base import ColumnType, UseCase


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The network and its preprocessing.

    `excluded` are columns of the vector that the model never sees: they exist for request-time features or parity.
    """

    excluded: tuple[str, ...] = ()
    num_knots: int = 32
    min_category_count: int = 20
    max_category_dim: int = 12
    mask_from_missing_share: float = 0.005
    num_frequencies: int = 8
    frequency_scale: float = 0.3
    embedding_dim: int = 4
    hidden: tuple[int, ...] = (256, 256)
    dropout: float = 0.3
    input_noise: float = 0.15
    num_members: int = 3

    def __post_init__(self) -> None:
        if self.num_knots < 2:
            raise ValueError(f"num_knots is {self.num_knots}; a piece of the quantile map lies between two")


@dataclass(frozen=True, kw_only=True)
class FitSpec:
    seed: int = 0
    num_epochs: int = 3
    batch_size: int = 1024
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    warm_up_share: float = 0.05

    def __post_init__(self) -> None:
        if self.num_epochs < 1 or self.batch_size < 1:
            raise ValueError(f"num_epochs {self.num_epochs} and batch_size {self.batch_size} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """By time: the last `contract.gate_window` are the gate's, `held_out` before them chooses the epoch."""

    held_out: timedelta
    min_rows: int
    min_rows_per_class: int

    def __post_init__(self) -> None:
        if self.min_rows_per_class < 1:
            raise ValueError(f"min_rows_per_class is {self.min_rows_per_class}; of one class nothing can be learned")


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """When a challenger may replace what is served.

    `minimum_effect` and `slice_margin` are log loss in nats; `confidence` is of the one-sided bounds, the slices' being
    simultaneous. `slices` are columns of the vector.
    """

    slices: tuple[str, ...]
    # More than retrainings gain that know nothing new: `tests/long.txt` has the largest gains of placebo years.
    minimum_effect: float = 0.01
    confidence: float = 0.95
    min_days: int = 14
    slice_margin: float = 0.01
    min_slice_rows: int = 300
    max_calibration_error: float = 0.05
    num_resamples: int = 4000

    def __post_init__(self) -> None:
        if self.min_days < 2:
            raise ValueError(f"min_days is {self.min_days}; a difference between days needs two")


@dataclass(frozen=True, kw_only=True)
class AdmissionSpec:
    """How often an alarm may start a training: not within `cool_down`, at most `budget` times in `budget_period`."""

    cool_down: timedelta
    budget: int
    budget_period: timedelta


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    contract: UseCase
    model: ModelSpec
    fit: FitSpec
    split: SplitSpec
    gate: GateSpec
    admission: AdmissionSpec

    def __post_init__(self) -> None:
        names = {column.name for column in self.contract.vector}
        unknown = sorted({*self.model.excluded, *self.gate.slices} - names)
        if unknown:
            raise ValueError(f"{self.contract.name}: {unknown} are not columns of the vector {sorted(names)}")
        if self.contract.gate_window < timedelta(days=self.gate.min_days):
            raise ValueError(
                f"{self.contract.name}: gate_window is {self.contract.gate_window}, but the gate needs "
                f"{self.gate.min_days} days of untouched rows; widen the window in the contract"
            )
        if not self.numeric and not self.categorical:
            raise ValueError(f"{self.contract.name}: every column of the vector is excluded; leave the model an input")

    @property
    def numeric(self) -> tuple[str, ...]:
        """The model's numeric inputs, in the vector's order."""
        return self._inputs(ColumnType.FLOAT32, ColumnType.INT64)

    @property
    def categorical(self) -> tuple[str, ...]:
        """The model's categorical inputs, in the vector's order."""
        return self._inputs(ColumnType.STRING)

    def _inputs(self, *types: ColumnType) -> tuple[str, ...]:
        columns = self.contract.vector
        return tuple(
            column.name for column in columns if column.type in types and column.name not in self.model.excluded
        )
