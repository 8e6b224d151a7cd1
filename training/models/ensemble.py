"""A small ensemble of MLPs over periodic embeddings of numbers, its members computed side by side as one batched model.

Smooth periodic embeddings are what brings an MLP to the level of boosted trees on such tables; averaging a few members
gives most of the rest. One batched product per layer is faster on a CPU than members in turn, and exports as one graph.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.models.preprocessing import QuantileMap, QuantileTable
from training.spec import ModelSpec


class PeriodicEmbedding(nn.Module):
    """Each number becomes itself and a learned linear map of cosines of it, shared by all members."""

    def __init__(self, num_features: int, spec: ModelSpec) -> None:
        super().__init__()
        width, learned = spec.num_frequencies, spec.embedding_dim - 1
        self.frequency = nn.Parameter(torch.randn(num_features, width) * spec.frequency_scale)
        self.phase = nn.Parameter(math.pi * (2 * torch.rand(num_features, width) - 1))
        self.weight = nn.Parameter((2 * torch.rand(num_features, width, learned) - 1) / math.sqrt(width))
        self.bias = nn.Parameter((2 * torch.rand(num_features, learned) - 1) / math.sqrt(width))

    def forward(self, mapped: Tensor) -> Tensor:
        """`(batch, num_features)` to `(batch, num_features * embedding_dim)`.

        Features lead, so that each of the two maps is one batched product, forward and backward.
        """
        ahead = mapped.t().unsqueeze(-1)  # (features, batch, 1)
        angles = torch.cat([ahead, torch.ones_like(ahead)], dim=-1)
        waves = torch.cos(torch.bmm(angles, torch.stack([2 * math.pi * self.frequency, self.phase], dim=1)))
        learned = torch.baddbmm(self.bias.unsqueeze(1), waves, self.weight).transpose(0, 1)
        return torch.cat([mapped, learned.flatten(1)], dim=1)


class MemberLinear(nn.Module):
    """One linear layer per member: `(members, batch, inputs)`, or `(batch, inputs)` shared by all of them, to
    `(members, batch, outputs)`.
    """

    def __init__(self, num_members: int, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(num_inputs)
        self.weight = nn.Parameter((2 * torch.rand(num_members, num_inputs, num_outputs) - 1) * bound)
        self.bias = nn.Parameter((2 * torch.rand(num_members, 1, num_outputs) - 1) * bound)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() == 2:  # one wide product: nothing is repeated per member, forward or backward
            num_members, num_inputs, num_outputs = self.weight.shape
            wide = inputs @ self.weight.transpose(0, 1).reshape(num_inputs, num_members * num_outputs)
            return wide.reshape(-1, num_members, num_outputs).transpose(0, 1) + self.bias
        return torch.baddbmm(self.bias, inputs, self.weight)


class Dropout(nn.Module):
    """Dropout whose coins are random bytes, so its share is one of 256ths.

    torch's own draws a number for each: on one core that took as long as all products of the network together.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.num_dropped = round(256 * share)

    def forward(self, state: Tensor) -> Tensor:
        if not self.training or self.num_dropped == 0:
            return state
        words = torch.empty(-(-state.numel() // 8), dtype=torch.int64, device=state.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: state.numel()].view(state.shape) >= self.num_dropped
        return state * kept.to(state.dtype).mul_(256 / (256 - self.num_dropped))


class Ensemble(nn.Module):
    """Mapped numbers, masks and codes to one logit per member."""

    def __init__(self, spec: ModelSpec, *, num_features: int, num_masked: int, category_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.input_noise, self.num_features = spec.input_noise, num_features
        self.periodic = PeriodicEmbedding(num_features, spec)
        dims = [min(spec.max_category_dim, (size + 1) // 2) for size in category_sizes]
        self.categories = nn.ModuleList(nn.Embedding(size, dim) for size, dim in zip(category_sizes, dims, strict=True))
        widths = [num_features * spec.embedding_dim + num_masked + sum(dims), *spec.hidden]
        self.hidden = nn.ModuleList(
            MemberLinear(spec.num_members, inputs, outputs) for inputs, outputs in pairwise(widths)
        )
        self.dropout = Dropout(spec.dropout)
        self.output = MemberLinear(spec.num_members, widths[-1], 1)

    def forward(self, mapped: Tensor, masks: Tensor, codes: Tensor) -> Tensor:
        """`(batch, num_features)`, `(batch, num_masked)`, `(batch, num_categories)` to logits `(members, batch)`."""
        if self.training:
            mapped = mapped + self.input_noise * torch.randn_like(mapped)
        # ONNX Runtime broadcasts no tensor of no columns: without numbers the graph has no part for them.
        numbers = [self.periodic(mapped), masks] if self.num_features else []
        embedded = [embedding(codes[:, index]) for index, embedding in enumerate(self.categories)]
        state = torch.cat([*numbers, *embedded], dim=1)
        for layer in self.hidden:
            state = self.dropout(torch.relu(layer(state)))
        logits: Tensor = self.output(state).squeeze(-1)
        return logits


class TabularModel(nn.Module):
    """The whole graph that is exported: preprocessing and ensemble.

    Its probabilities are the network's own. Scaled to the week before the gate they were worse on four of five gates of
    2013: a week's base rate is mostly its weather.
    """

    def __init__(self, spec: ModelSpec, table: QuantileTable, category_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.preprocessing = QuantileMap(table)
        self.ensemble = Ensemble(
            spec, num_features=len(table.floor), num_masked=len(table.masked), category_sizes=category_sizes
        )

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Raw numbers `(batch, num_features)` and codes `(batch, num_categories)` to probabilities `(batch,)`."""
        mapped, masks = self.preprocessing(numeric)
        return torch.sigmoid(self.ensemble(mapped, masks, codes).mean(0))
