"""The loop learns, keeps its best epoch, and goes on after a kill as if nothing had happened."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import Epoch
from training.evaluate import area_under_curve
from training.loop import fit
from training.models.ensemble import TabularModel
from training.rows import Rows
from training.spec import FitSpec, ModelSpec

MakeRows = Callable[..., Rows]
ROOT = Path(__file__).parents[2]
CHILD = """
import sys, numpy as np, torch
torch.set_num_threads(1)
from pathlib import Path
from training.loop import fit
from training.rows import Rows
from training.spec import FitSpec, ModelSpec
folder = Path(sys.argv[1])
stored = np.load(folder / "rows.npz")
rows = Rows(numeric=stored["numeric"], categorical=stored["categorical"].astype(object), label=stored["label"])
fit(rows[:6000], rows[6000:], model_spec=ModelSpec(hidden=(64,), num_members=2),
    spec=FitSpec(num_epochs=6, batch_size=256), identity="same",
    checkpoint=folder / "checkpoint.safetensors",
    on_epoch=lambda epoch: print(epoch.number, flush=True))
"""


def train(
    folder: Path, rows: Rows, model: ModelSpec, spec: FitSpec, identity: str = "one"
) -> tuple[TabularModel, list[Epoch]]:
    split = len(rows) * 3 // 4
    trained, _vocabularies, history = fit(
        rows[:split],
        rows[split:],
        model_spec=model,
        spec=spec,
        identity=identity,
        checkpoint=folder / "checkpoint.safetensors",
        on_epoch=lambda _epoch: None,
    )
    return trained, history


def weights(model: TabularModel) -> dict[str, torch.Tensor]:
    return model.state_dict()


def test_the_network_learns_what_is_there(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    rows, fresh = make_rows(8000), make_rows(4000, seed=1)
    model, history = train(tmp_path, rows, model_spec, fit_spec)
    codes = torch.zeros(len(fresh), 2, dtype=torch.int64)
    with torch.no_grad():
        probability = model(torch.from_numpy(fresh.numeric), codes).numpy()
    auc = area_under_curve(fresh.label, probability)
    assert auc is not None
    assert auc > 0.75
    assert history[-1].held_out_loss < history[0].held_out_loss


def test_the_same_seed_gives_the_same_bits(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, _ = train(tmp_path / "a", make_rows(), model_spec, fit_spec)
    second, _ = train(tmp_path / "b", make_rows(), model_spec, fit_spec)
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_a_checkpoint_of_other_data_is_not_gone_on_from(
    tmp_path: Path, make_rows: MakeRows, model_spec: ModelSpec, fit_spec: FitSpec
) -> None:
    train(tmp_path, make_rows(), model_spec, fit_spec, identity="one")
    _, history = train(tmp_path, make_rows(seed=3), model_spec, fit_spec, identity="other")
    assert [epoch.number for epoch in history] == [0, 1, 2]


@pytest.mark.parametrize("kills", [1])
def test_a_training_killed_and_started_again_ends_with_the_same_bits(
    tmp_path: Path, make_rows: MakeRows, kills: int
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    rows = make_rows(8000)
    for folder in (killed, whole):
        folder.mkdir()
        np.savez(folder / "rows.npz", numeric=rows.numeric, categorical=rows.categorical.astype(str), label=rows.label)
    for _ in range(kills):
        with start(killed) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    epochs = finish(killed)
    assert len(epochs) < 6
    assert len(finish(whole)) == 6
    assert bits(killed) == bits(whole)


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(folder: Path) -> list[str]:
    with start(folder) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.split()


def bits(folder: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    stored = load_file(folder / "checkpoint.safetensors")
    return {name: value.tobytes() for name, value in stored.items()}
