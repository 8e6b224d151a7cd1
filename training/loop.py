"""The torch loop, in one place, read from top to bottom.

Seeded per epoch rather than once, so that a training that was killed and goes on from its checkpoint sees the same
batches, noise and dropout as one that was not: on a CPU it ends with the same bits.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from training.checkpoint import Epoch, load_checkpoint, save_checkpoint
from training.models.ensemble import TabularModel
from training.models.preprocessing import encode, fit_quantile_table, fit_vocabulary
from training.rows import Rows
from training.spec import FitSpec, ModelSpec

# With threads that sleep while they wait (see `training.__main__.fit`) two took 17 s where one took 22 s for 57,000
# rows, and 25 s where one took 20 s beside another busy process; spinning threads took many times that. Same bits.
NUM_THREADS = 2
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # mapped numbers, masks, codes, labels
# What is between two operations on a block stays in a core's cache: 8,192 rows at once took five times as long. A row
# that is being prepared takes a number per knot and feature.
BLOCK, BLOCK_PREPARED = 512, 64


def fit(
    train: Rows,
    held_out: Rows,
    *,
    model_spec: ModelSpec,
    spec: FitSpec,
    identity: str,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
) -> tuple[TabularModel, tuple[tuple[str, ...], ...], list[Epoch]]:
    """Train on `train`, keep the epoch that is best on `held_out`.

    Returns the model on the CPU, the vocabulary of each categorical input, and the history.
    """
    torch.set_num_threads(NUM_THREADS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vocabularies = tuple(
        fit_vocabulary(column.astype(str), min_count=model_spec.min_category_count) for column in train.categorical.T
    )
    table = fit_quantile_table(
        train.numeric, num_knots=model_spec.num_knots, mask_from_missing_share=model_spec.mask_from_missing_share
    )
    torch.manual_seed(spec.seed)
    model = TabularModel(model_spec, table, tuple(len(vocabulary) + 1 for vocabulary in vocabularies)).to(device)
    network = model.ensemble
    # Preprocessing is not learned: it is done once, not once per epoch.
    train_set, held_out_set = (prepare(model, rows, vocabularies, device) for rows in (train, held_out))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True
    )
    steps_per_epoch = max(1, len(train) // spec.batch_size)
    progress, best = load_checkpoint(checkpoint, identity, network, optimizer)

    for number in range(len(progress.history), spec.num_epochs):
        started = time.monotonic()
        torch.manual_seed(spec.seed * 1_000 + number + 1)
        order = torch.randperm(len(train)).to(device)
        losses = torch.zeros((), device=device)
        network.train()
        for step in range(steps_per_epoch):
            rows = order[step * spec.batch_size : (step + 1) * spec.batch_size]
            mapped, masks, codes, labels = (tensor[rows] for tensor in train_set)
            rate = learning_rate(spec, number * steps_per_epoch + step, spec.num_epochs * steps_per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = network(mapped, masks, codes)  # (members, batch)
            loss = binary_cross_entropy_with_logits(logits.float(), labels.expand_as(logits))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses += loss.detach()
        held_out_loss = float(
            binary_cross_entropy_with_logits(predict_logits(model, held_out_set), held_out_set[3]).item()
        )
        epoch = Epoch(
            number=number,
            train_loss=float(losses.item()) / steps_per_epoch,
            held_out_loss=held_out_loss,
            seconds=time.monotonic() - started,
        )
        progress.history.append(epoch)
        if progress.best is epoch:
            best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        save_checkpoint(checkpoint, progress, network, best, optimizer)
        on_epoch(epoch)

    network.load_state_dict(best)
    return model.cpu().eval(), vocabularies, progress.history


def learning_rate(spec: FitSpec, step: int, num_steps: int) -> float:
    """A short linear warm-up, then half a cosine down to zero."""
    warm_up = max(1, int(num_steps * spec.warm_up_share))
    if step < warm_up:
        return spec.learning_rate * (step + 1) / warm_up
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, num_steps - warm_up)))


def codes_of(rows: Rows, vocabularies: tuple[tuple[str, ...], ...]) -> Tensor:
    """`(rows, num_categories)`, int64."""
    columns = [
        encode(column.astype(str), vocabulary)
        for column, vocabulary in zip(rows.categorical.T, vocabularies, strict=True)
    ]
    return torch.from_numpy(np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0), np.int64))


@torch.no_grad()
def prepare(model: TabularModel, rows: Rows, vocabularies: tuple[tuple[str, ...], ...], device: torch.device) -> Batch:
    blocks = torch.split(torch.from_numpy(rows.numeric), BLOCK_PREPARED)
    pieces = [model.preprocessing(block.to(device)) for block in blocks]
    mapped, masks = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return mapped, masks, codes_of(rows, vocabularies).to(device), torch.from_numpy(rows.label).to(device)


@torch.no_grad()
def predict_logits(model: TabularModel, prepared: Batch) -> Tensor:
    """The members' mean logit, `(rows,)`, in float32."""
    model.ensemble.eval()
    batches = zip(*(torch.split(tensor, BLOCK) for tensor in prepared[:3]), strict=True)
    return torch.cat([model.ensemble(*batch).mean(0) for batch in batches])
