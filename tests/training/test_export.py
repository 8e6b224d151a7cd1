"""The exported graph answers as the network does, and one that does not is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from training.errors import ExportRejected
from training.export import check_equal, export
from training.loop import codes_of, fit
from training.models.ensemble import TabularModel
from training.rows import Rows
from training.scoring import open_session, score
from training.spec import FitSpec, ModelSpec

MakeRows = Callable[..., Rows]
Trained = tuple[TabularModel, tuple[tuple[str, ...], ...]]


def trained(folder: Path, rows: Rows, model: ModelSpec, spec: FitSpec) -> Trained:
    half = len(rows) // 2
    network, vocabularies, _ = fit(
        rows[:half],
        rows[half:],
        model_spec=model,
        spec=spec,
        identity="export",
        checkpoint=folder / "checkpoint.safetensors",
        on_epoch=lambda _epoch: None,
    )
    return network, vocabularies


@pytest.mark.parametrize("num_categories", [0, 1, 3])
def test_the_graph_equals_the_network_on_raw_values(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec, num_categories: int
) -> None:
    rows = make_rows(num_categories=num_categories)
    network, vocabularies = trained(tmp_path, rows, model_spec, fit_spec)
    session = open_session(export(network, vocabularies, rows))
    fresh = make_rows(500, seed=9, num_categories=num_categories)
    with torch.no_grad():
        expected = network(torch.from_numpy(fresh.numeric), codes_of(fresh, vocabularies)).numpy()
    assert np.abs(score(session, fresh) - expected).max() < 1e-5
    assert np.abs(score(session, fresh, batch_size=1) - expected).max() < 1e-5


def test_strings_that_training_never_saw_and_absent_ones_are_answered_alike(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows = make_rows()
    network, vocabularies = trained(tmp_path, rows, model_spec, fit_spec)
    session = open_session(export(network, vocabularies, rows))
    assert vocabularies[0] == ("EWR", "JFK", "LGA")
    numeric = np.repeat(rows.numeric[:1], 3, axis=0)
    strings = np.array([["", ""], ["never", "seen"], ["once", "\0" * 40]], dtype=object)
    answers = score(session, Rows(numeric=numeric, categorical=strings, label=np.zeros(3, np.float32)))
    assert len(set(answers.tolist())) == 1


def without(rows: Rows, *, numeric: slice = slice(None), categorical: slice = slice(None)) -> Rows:
    """The rows with those columns alone."""
    return replace(rows, numeric=rows.numeric[:, numeric], categorical=rows.categorical[:, categorical])


def absent(rows: Rows, *, numeric: slice = slice(0), categorical: slice = slice(0)) -> Rows:
    """The rows with every value of those columns absent."""
    numbers, strings = rows.numeric.copy(), rows.categorical.copy()
    numbers[:, numeric], strings[:, categorical] = np.nan, ""
    return replace(rows, numeric=numbers, categorical=strings)


@pytest.mark.parametrize(
    ("change", "num_rows"),
    [
        (lambda rows: without(rows, numeric=slice(0)), 400),
        (lambda rows: without(absent(rows, numeric=slice(None)), categorical=slice(0)), 400),
        (lambda rows: absent(rows, numeric=slice(0, 1), categorical=slice(0, 1)), 400),
        (lambda rows: absent(rows, numeric=slice(None), categorical=slice(None)), 400),
        (lambda rows: rows, 2),
    ],
    ids=["no numbers", "no strings, numbers absent", "a column of each absent", "all absent", "one row to train on"],
)
def test_inputs_of_which_there_is_nothing_still_make_a_graph(
    tmp_path: Path,
    make_rows: MakeRows,
    model_spec: ModelSpec,
    fit_spec: FitSpec,
    change: Callable[[Rows], Rows],
    num_rows: int,
) -> None:
    rows = change(make_rows(num_rows))
    serialised = export(*trained(tmp_path, rows, model_spec, fit_spec), rows)
    answers = score(open_session(serialised), rows)
    assert ((answers > 0) & (answers < 1)).all()
    assert len(score(open_session(serialised), rows[:0])) == 0
    inputs = {value.name for value in onnx.load_model_from_string(serialised).graph.input}
    widths = {"numeric": rows.numeric.shape[1], "categorical": rows.categorical.shape[1]}
    assert inputs == {name for name, width in widths.items() if width}


def test_a_graph_is_not_called_equal_on_no_rows(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows = make_rows(400)
    network, vocabularies = trained(tmp_path, rows, model_spec, fit_spec)
    with pytest.raises(ExportRejected, match="no row on which to compare"):
        export(network, vocabularies, rows[:0])


def test_hostile_numbers_still_give_a_probability(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows = make_rows()
    session = open_session(export(*trained(tmp_path, rows, model_spec, fit_spec), rows))
    values = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0]
    numeric = np.array([[value] * 5 for value in values], np.float32)
    strings = np.full((len(values), 2), "JFK", dtype=object)
    answers = score(session, Rows(numeric=numeric, categorical=strings, label=np.zeros(len(values), np.float32)))
    assert ((answers >= 0) & (answers <= 1)).all()


def test_a_graph_that_answers_otherwise_is_refused(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows = make_rows()
    network, vocabularies = trained(tmp_path, rows, model_spec, fit_spec)
    serialised = export(network, vocabularies, rows)
    with torch.no_grad():
        network.ensemble.output.bias.add_(0.001)
        shifted = network(torch.from_numpy(rows.numeric), codes_of(rows, vocabularies)).numpy()
    with pytest.raises(ExportRejected, match="differs from torch"):
        check_equal(serialised, rows, shifted)


def test_the_graph_names_and_types_its_inputs_as_the_package_contract_does(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows = make_rows()
    graph = onnx.load_model_from_string(export(*trained(tmp_path, rows, model_spec, fit_spec), rows)).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    assert kinds == {
        "numeric": onnx.TensorProto.FLOAT,
        "categorical": onnx.TensorProto.STRING,
        "probability": onnx.TensorProto.FLOAT,
    }
