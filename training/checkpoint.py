"""What a killed training goes on from: one file per training, replaced atomically after each epoch.

safetensors with the small state as JSON in its header: nothing in it can execute, and one file means that weights and
state can never be of different epochs.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from infra.whole_file import whole_file


@dataclass(frozen=True, kw_only=True)
class Epoch:
    number: int
    train_loss: float
    held_out_loss: float
    seconds: float


@dataclass(kw_only=True)
class Progress:
    """`identity` names data, settings and seed: a checkpoint of anything else is not gone on from."""

    identity: str
    history: list[Epoch] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        return min(self.history, key=lambda epoch: epoch.held_out_loss)


def save_checkpoint(
    path: Path, progress: Progress, network: torch.nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    on_cpu = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with whole_file(path) as unfinished:
        save_file(on_cpu, unfinished, metadata={"progress": json.dumps(asdict(progress))})
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())


def load_checkpoint(
    path: Path, identity: str, network: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]]:
    """Fill `network` and `optimizer` in place. Without a checkpoint of this identity, the progress is empty."""
    if not path.exists():
        return Progress(identity=identity), {}
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()["progress"])
        if stored["identity"] != identity:
            return Progress(identity=identity), {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    network.load_state_dict(under(tensors, "network."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in under(tensors, "optimizer.").items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    history = [Epoch(**epoch) for epoch in stored["history"]]
    return Progress(identity=identity, history=history), under(tensors, "best.")


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
