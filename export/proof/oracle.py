"""The truth that float32 is measured against: the same weights, computed in float64.

The large tables (item embedding, output layer) stay in float32 and are widened row by row as they are read, which is
exact; a whole copy of them in float64 would take twice the memory of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.model import BST, ClickBST

ROWS = 8192  # of the output layer at a time


def in_float64(model: BST) -> BST:
    """Copy `model` so that it computes in float64; its large tables are shared, not copied."""
    is_click = isinstance(model, ClickBST)
    embeddings = [f"{name}.{part}".lstrip(".") for name, part in _tables(model)]
    tables: list[Tensor] = [model.get_parameter(f"{name}.weight") for name in embeddings]
    if not is_click:
        tables += model.output_layer_parameters()
    oracle = copy.deepcopy(model, {id(table): table for table in tables})
    shared = {id(table) for table in tables}
    for tensor in (*oracle.parameters(), *oracle.buffers()):
        if id(tensor) not in shared and tensor.is_floating_point():
            tensor.data = tensor.data.double()
    for name in embeddings:
        oracle.get_submodule(name).__class__ = _WideEmbedding
    if not is_click:
        oracle.__class__ = _Oracle
    return oracle


def _tables(model: BST) -> Iterator[tuple[str, str]]:
    """Yield the tables of items: the module that has each, by its path, and the name there."""
    for name, module in model.named_modules():
        if isinstance(module, BST):
            yield name, "item_embedding"
            if isinstance(module, ClickBST) and module.has_own_table:
                yield name, "candidate_embedding"


class _WideEmbedding(nn.Embedding):
    def forward(self, items: Tensor) -> Tensor:
        return super().forward(items).double()


class _Oracle(BST):
    def item_scores(self, user_vectors: Tensor) -> Tensor:
        weights, biases = self.output_layer()
        parts = zip(weights.split(ROWS), biases.split(ROWS), strict=True)
        return torch.cat([F.linear(user_vectors, rows.double(), bias.double()) for rows, bias in parts], dim=-1)

    def output_rows(self, items: Tensor) -> tuple[Tensor, Tensor]:
        rows, biases = super().output_rows(items)
        return rows.double(), biases.double()
