"""The rows of a training set as the model takes them: plain NumPy arrays, absence spelled as in the ONNX inputs."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Rows:
    """`numeric` `(rows, k)` float32 with NaN for absent; `categorical` `(rows, m)` strings with "" for absent."""

    numeric: NDArray[np.float32]
    categorical: NDArray[np.object_]
    label: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, which: slice) -> "Rows":
        return Rows(numeric=self.numeric[which], categorical=self.categorical[which], label=self.label[which])


def rows_of(table: pa.Table, *, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> Rows:
    return Rows(
        numeric=numeric_matrix(table, numeric),
        categorical=string_matrix(table, categorical),
        label=table["label"].to_numpy().astype(np.float32),
    )


def slice_names(values: pa.ChunkedArray) -> NDArray[np.object_]:
    """The slice of each row by its value; a row without one is in the slice "", and a 0 is not."""
    return np.array(["" if value is None else str(value) for value in values.to_pylist()], object)


def numeric_matrix(table: pa.Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    matrix = np.empty((len(table), len(names)), np.float32)
    for index, name in enumerate(names):
        matrix[:, index] = pc.fill_null(table[name].cast(pa.float32(), safe=False), np.nan).to_numpy()
    return matrix


def string_matrix(table: pa.Table, names: tuple[str, ...]) -> NDArray[np.object_]:
    matrix = np.empty((len(table), len(names)), object)
    for index, name in enumerate(names):
        matrix[:, index] = pc.fill_null(table[name].cast(pa.string()), "").to_numpy(zero_copy_only=False)
    return matrix
