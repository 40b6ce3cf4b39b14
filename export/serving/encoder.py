"""The encoder for inference: the vectors of `BST.user_vectors` but for rounding, with less work.

Most histories are short, so most slots of a batch are padding. Here the real slots of the whole batch stand packed in
one table `[N, D]`, and all but attention runs on that. Its row 0 belongs to no slot: it keeps the table from being
empty, and padded slots read it where attention needs rows of equal length again. No weight falls on what they read.

In a model that pools the newest state, the last cell has one query a row, and is computed for that alone. With one
query it pays to move the projections: `(x Q) (y K)^T = (x Q K^T) y^T`, so that neither keys nor values are projected.

Shape letters: B batch, L length, N real slots of the batch + 1, D dim, H heads, C context features.
"""

import math
from typing import Dict, Final  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.model import BST
from bst.model.cells import EncoderCell, SelfAttention


class PackedEncoder(nn.Module):
    """An encoder with the inputs and outputs of `BST.user_vectors`; it shares all weights that it can with the model.

    Raises:
        ValueError: padding counts in the model, so it cannot be left out.
    """

    def __init__(self, model: BST) -> None:
        super().__init__()
        if model.padding_counts:
            raise ValueError("padding counts to this model: encode with the model itself")
        self.model = model
        cells = [cell for cell in model.cells if isinstance(cell, EncoderCell)]
        newest = [cells.pop()] if model.last_pooling else []
        self.cells = nn.ModuleList([PackedCell(cell) for cell in cells])
        self.newest = nn.ModuleList([NewestCell(cell) for cell in newest])

    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Encode each row: float32 `[B, user_width]`; `inputs` are those of `BST.user_vectors`."""
        items = inputs["items"]
        model = self.model
        real = items > 0
        counted = real.to(torch.int64)
        # The row of the table that each slot reads, 0 for padding; and the slot that each row came from.
        rows = counted.flatten().cumsum(0).view_as(items) * counted
        slots = F.pad(real.flatten().nonzero().squeeze(1), (1, 0))  # [N]
        # index_select is Gather in ONNX; [slots] would be GatherND, which in ONNX Runtime 1.21 to 1.25 crashes the
        # process for a call without rows.
        real_items, places = items.flatten().index_select(0, slots), model.places(real).flatten().index_select(0, slots)
        columns = model.event_columns(real, inputs)
        if columns is not None:
            columns = columns.flatten(0, 1).index_select(0, slots)
        x = model.embed(real_items, places, columns)  # [N, D]
        hidden = self._hidden(real, x)
        for cell in self.cells:
            x = cell(x, rows, slots, hidden)
        if not model.last_pooling:
            pooled = model.pool(F.embedding(rows, x), real, rows)
        else:
            pooled = self._newest_state(x, rows, real)
        return model.head(model.beside(pooled, inputs))

    def _hidden(self, real: Tensor, x: Tensor) -> Tensor:
        """Compute what `BST.hidden` returns. Not cut out of its buffer: symbolic shape inference of ONNX Runtime
        takes the length of a cut for another than that of the history.
        """
        places = torch.arange(real.size(1), device=real.device)
        if self.model.full_mask:
            visible = (places.unsqueeze(1) >= 0) & real.unsqueeze(1)  # [B, L, L]
        else:
            visible = (places.unsqueeze(1) >= places) & real.unsqueeze(1)
        return (~visible).to(x.dtype).unsqueeze(1) * self.model.hidden_logit

    def _newest_state(self, x: Tensor, rows: Tensor, real: Tensor) -> Tensor:
        # Not the largest of `rows`: symbolic shape inference of ONNX Runtime knows no ReduceMax.
        counts = real.sum(dim=1)
        there = counts.clamp(max=1)
        newest = F.embedding(counts.cumsum(0) * there, x)  # [B, D]
        hidden = (~real).to(x.dtype).unsqueeze(1) * self.model.hidden_logit  # [B, 1, L]
        for cell in self.newest:
            newest = cell(newest, F.embedding(rows, x), hidden)
        return newest * there.unsqueeze(1).to(x.dtype)


class _Cell(nn.Module):
    """A cell whose parts after the attention are the model's."""

    residual: Final[bool]

    def __init__(self, cell: EncoderCell) -> None:
        super().__init__()
        self.residual = cell.residual
        self.norm_1, self.norm_2, self.ff_1, self.ff_2 = cell.norm_1, cell.norm_2, cell.ff_1, cell.ff_2
        self.activation = cell.activation

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        if self.residual:
            attended = x + attended
        x = self.norm_1(attended)
        change = self.ff_2(self.activation(self.ff_1(x)))
        if self.residual:
            change = x + change
        return self.norm_2(change)


class PackedCell(_Cell):
    """A cell over a packed table."""

    def __init__(self, cell: EncoderCell) -> None:
        super().__init__(cell)
        attention = cell.attention
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        projections, biases = _projections(attention)
        self.query_key_value = _linear(torch.cat(projections).flatten(0, 1), torch.cat(biases).flatten())
        self.dense = attention.dense

    def forward(self, x: Tensor, rows: Tensor, slots: Tensor, hidden: Tensor) -> Tensor:
        """Map `x` `[N, D]` to the same shape; `rows` `[B, L]`, `slots` `[N]`, `hidden` `[B, 1, L, L]`."""
        wide = F.embedding(rows, self.query_key_value(x)).unflatten(-1, (3, self.num_heads, self.head_dim))
        query, key, value = wide.permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, L, D/H]
        weights = torch.softmax(query @ key.transpose(-2, -1) + hidden, dim=-1)
        attended = (weights @ value).transpose(1, 2).flatten(2).flatten(0, 1)  # [B * L, D]
        return self.finish(x, self.dense(F.embedding(slots, attended)))


class NewestCell(_Cell):
    """A cell for the newest state of each row alone."""

    def __init__(self, cell: EncoderCell) -> None:
        super().__init__(cell)
        self.num_heads = cell.attention.num_heads
        (query, key, value), biases = _projections(cell.attention)  # [H, D/H, D] and [H, D/H]
        dense = cell.attention.dense.weight.detach().double().unflatten(1, (self.num_heads, -1))  # [D, H, D/H]
        # The bias of the keys adds the same to all logits of a query, which a softmax does not see.
        query_bias = (key.transpose(1, 2) @ biases[0].unsqueeze(2)).flatten()  # [H * D]
        self.query_key = _linear((key.transpose(1, 2) @ query).flatten(0, 1), query_bias)  # [H * D, D]
        value_bias = torch.einsum("ohd,hd->o", dense, biases[2])
        if cell.attention.dense.bias is not None:
            value_bias += cell.attention.dense.bias.detach().double()
        self.value_dense = _linear(torch.einsum("ohd,hdi->ohi", dense, value).flatten(1), value_bias)  # [D, H * D]

    def forward(self, newest: Tensor, states: Tensor, hidden: Tensor) -> Tensor:
        """Map `newest` `[B, D]` to the same shape; it attends to `states` `[B, L, D]`, `hidden` `[B, 1, L]`."""
        queries = self.query_key(newest).unflatten(-1, (self.num_heads, -1))  # [B, H, D]
        weights = torch.softmax(queries @ states.transpose(1, 2) + hidden, dim=-1)  # [B, H, L]
        return self.finish(newest, self.value_dense((weights @ states).flatten(1)))


def _projections(attention: SelfAttention) -> tuple[list[Tensor], list[Tensor]]:
    """Return weights, float64 `[H, D/H, D]`, and biases `[H, D/H]` of query, key and value.

    Those of the query are scaled, so that logits need not be.
    """
    parts = (3, attention.num_heads, attention.head_dim)
    layer = attention.query_key_value
    weights = list(layer.weight.detach().double().unflatten(0, parts))
    biases = list((torch.zeros(parts) if layer.bias is None else layer.bias.detach().unflatten(0, parts)).double())
    scale = math.sqrt(attention.head_dim)
    return [weights[0] / scale, *weights[1:]], [biases[0] / scale, *biases[1:]]


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Make a layer of float32; one without a bias, if that is 0."""
    biased = bool(bias.any())
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=biased, device="meta")
    layer.weight = nn.Parameter(weight.to(torch.float32), requires_grad=False)
    if biased:
        layer.bias = nn.Parameter(bias.to(torch.float32), requires_grad=False)
    return layer
