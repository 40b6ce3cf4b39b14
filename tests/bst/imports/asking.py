"""Requests in raw ids, asked of an imported run without an export."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bst import Run, Vocabulary


def logits(run: Run, request: dict[str, Any]) -> Tensor:
    """Score the candidates of a request by the model of a run: float64 `[n]`.

    A request has `history` (lists by name, the items first), `context`, `dense`, `candidates` and `candidate_fields`,
    as in the shared cases, and `sequences` by name where there are others than the history.
    """
    config, vocabularies = run.config.model, run.vocabularies
    cut = _cut(config)
    items, *_ = request["history"].values()
    history = _history(run, items, config)
    columns = [_indices(vocabulary, request["history"][name][cut]) for name, vocabulary in vocabularies.events.items()]
    inputs: dict[str, Any] = {}
    if config.sequences:
        lists = {own.name: _history(run, request["sequences"][own.name], own) for own in config.sequences}
        inputs["sequences"] = {name: values[None] for name, values in lists.items()}
    if columns:
        nothing = torch.zeros(1, len(columns), dtype=torch.int64)
        inputs["events"] = (torch.stack(columns, dim=-1) if items else nothing)[None]
    if config.numbers:
        inputs["numbers"] = torch.tensor([[request["dense"][number.name] for number in config.numbers]])
    context = [_indices(vocabulary, [request["context"][name]]) for name, vocabulary in vocabularies.context.items()]
    candidates = torch.tensor(_items(run, request["candidates"], in_history=False))
    fields = [
        _indices(vocabulary, request["candidate_fields"][name])
        for name, vocabulary in vocabularies.candidate_features.items()
    ]
    if fields:
        candidates = torch.stack([candidates, *fields], dim=-1)
    row = torch.cat(context)[None] if context else torch.zeros(1, 0, dtype=torch.int64)
    with torch.inference_mode():
        return run.model(history[None], row, candidates[None], **inputs)[0].double()


def _cut(read: Any) -> slice:
    return slice(read.max_length) if read.longer_histories == "oldest" else slice(-read.max_length, None)


def _history(run: Run, items: list[Any], read: Any) -> Tensor:
    return torch.tensor(_items(run, items[_cut(read)] or [run.vocabularies.items.padding], in_history=True))


def _indices(vocabulary: Vocabulary, values: list[Any]) -> Tensor:
    return torch.tensor(vocabulary.indices(values))


def _items(run: Run, values: list[Any], *, in_history: bool) -> Any:
    """Look items up: unknown ones have the row of unknown items, and padding stays what it is."""
    vocabulary = run.vocabularies.items
    indices = vocabulary.indices(values)
    is_padding = np.array([in_history and value == vocabulary.padding for value in values])
    return np.where((indices == 0) & ~is_padding, run.config.model.unknown_row, indices)
