"""The candidates of a click model for inference: the logits of `ClickBST.candidate_logits` but for rounding, with less
work, where the history is computed once.

Candidates are rows `[B * N, D]` wherever a layer does not look at the user: ONNX Runtime computes such a layer with its
bias and its activation in one step. The mask is a column of the keys, beside a 1 in the query, so that nothing is added
to the logits. The state and the vector of a candidate go through the first layer of the head side by side.

Shape letters: B batch, L length, N candidates of a row, D dim, H heads, W width of the head's first layer.
"""

import math
from typing import Final, List  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.model import ClickBST
from bst.model.cells import EncoderCell, SelfAttention


class CandidateRows(nn.Module):
    """A click model behind what it keeps of a user; it shares all weights that it can with the model.

    Raises:
        ValueError: the history depends on the candidate.
    """

    def __init__(self, model: ClickBST) -> None:
        super().__init__()
        if not model.history_once:
            raise ValueError("the history depends on the candidate: ask the model itself")
        self.first_layer = FirstLayer(model)
        readers = [reader for reader in model.sequences if isinstance(reader, ClickBST)]
        self.sequences = nn.ModuleList(FirstLayer(reader) for reader in readers)
        self.others = model.head[1:]

    def forward(self, user: List[Tensor], candidates: Tensor) -> Tensor:  # noqa: UP006
        """Give the logits of candidates: `[B, N]`; both are those of `ClickBST.candidate_logits`."""
        rows = self.first_layer(user, candidates)
        size = len(user) // (1 + len(self.sequences))
        items = candidates if candidates.dim() == 2 else candidates[..., 0]
        for place, layer in enumerate(self.sequences):
            rows = rows + layer(user[size * (place + 1) :], items)
        return self.others(rows).view(items.shape)


class FirstLayer(nn.Module):
    """The first layer of the head behind one history: `ClickBST.first_layer`, as rows."""

    reads_user: Final[bool]

    def __init__(self, model: ClickBST) -> None:
        super().__init__()
        self.model = model
        self.cells = nn.ModuleList(CandidateCell(cell) for cell in model.cells if isinstance(cell, EncoderCell))
        self.reads_user = model.width_beside > 0  # else what the layer adds for the user is its bias
        layer = model.head[0]
        assert isinstance(layer, nn.Linear)
        self.joined = _linear(layer.weight.detach()[:, : 2 * model.dim], None if self.reads_user else layer.bias)

    def forward(self, user: List[Tensor], candidates: Tensor) -> Tensor:  # noqa: UP006
        """Map what `ClickBST.first_layer` takes to `[B * N, W]`."""
        targets = self.model.candidate_vectors(candidates)  # [B, N, D]
        x = self.model.placed_target(targets)
        for block, cell in enumerate(self.cells):
            x = cell(x, user[4 + 2 * block], user[5 + 2 * block], user[0])
        x = torch.cat((self.model.pooled(x, user[2], user[3]), targets), dim=-1)
        if self.reads_user:
            return (self.joined(x) + user[1].unsqueeze(-2)).flatten(0, 1)
        return self.joined(x.flatten(0, 1))


class CandidateCell(nn.Module):
    """A cell for rows that read others and themselves, but not one another: `EncoderCell.read`."""

    residual: Final[bool]

    def __init__(self, cell: EncoderCell) -> None:
        super().__init__()
        self.residual, self.num_heads = cell.residual, cell.attention.num_heads
        self.query, self.key, self.value = _projections(cell.attention)
        self.dense = cell.attention.dense
        self.norm_1, self.norm_2, self.ff_1, self.ff_2 = cell.norm_1, cell.norm_2, cell.ff_1, cell.ff_2
        self.activation = cell.activation

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """Map rows `[B, N, D]` to the same shape; keys, values and `hidden` are those of `EncoderCell.read`."""
        # A change of shape stands before each norm: ONNX Runtime puts a sum and the norm behind it into one operator,
        # SkipLayerNormalization, which takes up to five times as long as both.
        attended = self.dense(self._attended(x, keys, values, hidden).flatten(0, 1)).view(x.shape)
        rows = self.norm_1(self._added(x, attended).flatten(0, 1))
        change = self.ff_2(self.activation(self.ff_1(rows)))
        return self.norm_2(self._added(rows, change).view(x.shape))

    def _attended(self, x: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """Attend with rows `[B, N, D]`: the same shape."""
        rows = x.flatten(0, 1)
        parts = [x.size(0), x.size(1), self.num_heads, -1]
        query, key, value = self.query(rows).view(parts), self.key(rows).view(parts), self.value(rows).view(parts)
        own = (query * key).sum(dim=-1, keepdim=True).transpose(1, 2)  # [B, H, N, 1]
        keys = torch.cat((keys.transpose(2, 3), hidden.expand(-1, self.num_heads, -1, -1)), dim=2)
        logits = query.transpose(1, 2) @ keys  # [B, H, N, L]
        weights = torch.softmax(torch.cat((logits, own), dim=-1), dim=-1)
        # With a row of zeros for the slot of the candidate, so that nothing is cut off the weights.
        attended = weights @ F.pad(values, (0, 0, 0, 1))  # [B, H, N, D/H]
        return (attended.transpose(1, 2) + weights[..., -1:].transpose(1, 2) * value).flatten(2)

    def _added(self, x: Tensor, change: Tensor) -> Tensor:
        return x + change if self.residual else change


def _projections(attention: SelfAttention) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    """Return layers for the query, which is scaled, and for the key and the value. Of each head, the query has a 1
    behind it, and the key a 0.
    """
    layer, heads = attention.query_key_value, attention.num_heads
    joint_bias = layer.weight.new_zeros(layer.weight.size(0)) if layer.bias is None else layer.bias
    weights = [part.unflatten(0, (heads, -1)) for part in layer.weight.detach().double().chunk(3)]  # [H, D/H, D]
    biases = [part.unflatten(0, (heads, -1)) for part in joint_bias.detach().double().chunk(3)]
    scale = math.sqrt(attention.head_dim)
    wide = [F.pad(part, (0, 0, 0, 1)).flatten(0, 1) for part in (weights[0] / scale, weights[1])]
    query = _linear(wide[0], F.pad(biases[0] / scale, (0, 1), value=1.0).flatten())
    key = _linear(wide[1], F.pad(biases[1], (0, 1)).flatten())
    return query, key, _linear(weights[2].flatten(0, 1), biases[2].flatten())


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.to(torch.float32).contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().to(torch.float32), requires_grad=False)
    return layer
