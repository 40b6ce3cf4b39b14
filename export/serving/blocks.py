"""The blocks of the model by name, so that two formats can be compared block by block.

Blocks are `embedding`, `positions` (the embedded items with their places), `cell 1` and so on, `pooling` (with the
context beside it) and `head`. In torch's exports they are found by the modules of the nodes; ONNX files keep them as
the names of values (`blocks/cell 1`); TorchScript and eager models are called method by method. Where the
encoder is packed (`export.serving.encoder`), blocks are rows of its table, and a last cell for the newest state alone
belongs to `pooling`.

Of a click model the blocks are `embedding`, and then the states of the candidates: `candidates`, `candidates, cell 1`
and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from export.contract.inputs import Array

Blocks = dict[str, Array]


def blocks_of_model(model: Any, inputs: Mapping[str, Tensor]) -> Blocks:
    """Walk through a `BST`, eager or scripted, block by block; inputs in range, as its `user_vectors` takes them."""
    blocks: Blocks = {}
    items = inputs["items"]
    with torch.inference_mode():
        real = items > 0
        places = model.places(real)
        blocks["embedding"] = model.item_embedding(items).numpy()
        states = model.embed(items, places, model.event_columns(real, dict(inputs)))
        blocks["positions"] = states.numpy()
        if model.task == "click":
            _walk_click(model, inputs, blocks)
            return blocks
        hidden = model.hidden(real, states)
        for number, cell in enumerate(model.cells.children(), start=1):
            states = cell(states, hidden)
            blocks[f"cell {number}"] = states.numpy()
        pooled = model.beside(model.pool(states, real, places), dict(inputs))
        blocks["pooling"] = pooled.numpy()
        blocks["head"] = model.head(pooled).numpy()
    return blocks


def _walk_click(model: Any, inputs: Mapping[str, Tensor], blocks: Blocks) -> None:
    """Walk through the cells of a click model as a candidate does: the states of the candidates behind each."""
    user = model.encode_user({name: values for name, values in inputs.items() if name != "candidates"})
    x = model.placed_target(model.candidate_vectors(inputs["candidates"]))
    blocks["candidates"] = x.numpy()
    for number, cell in enumerate(model.cells.children() if model.history_once else ()):
        x = cell.read(x, user[4 + 2 * number], user[5 + 2 * number], user[0])
        blocks[f"candidates, cell {number + 1}"] = x.numpy()


def boundaries(
    scopes: list[tuple[Any, list[str]]], leave: Any, enter: Any, *, of_candidates: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each block: the output of a module's last node, or the input of its first one.

    Args:
        scopes: each node of a graph, with the paths of the modules that it came from.
        leave, enter: return the output of a node, and its input.
        of_candidates: the model is a click model: its blocks are what candidates go through.
    """

    def nodes(module: str) -> list[Any]:
        places = tuple(f"scorer.{holder}.{module}" for holder in ("model", "encoder", "encoder.model"))
        return [node for node, paths in scopes if any(path.endswith(places) for path in paths)]

    if embedding := nodes("item_embedding"):  # else it is of candidates, and in a Loop
        yield "embedding", leave(embedding[0])
    if of_candidates:  # they go through the cells part by part
        number = 0
        while norm := nodes(f"cells.{number}.norm_2"):
            number += 1
            yield f"candidates, cell {number}", leave(norm[-1])
        return
    if first := nodes("cells.0"):
        yield "positions", enter(first[0])
    else:  # in ONNX alone: the only cell takes rows that were picked from the table
        yield "positions", enter(enter(nodes("newest.0")[0]).producer())
    number = 0
    while cell := nodes(f"cells.{number}"):
        number += 1
        yield f"cell {number}", leave(cell[-1])
    head = nodes("head")
    yield "pooling", enter(head[0])
    yield "head", leave(head[-1])
