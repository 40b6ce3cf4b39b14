"""The fold of a ranker into a `ClickBST`: one wide row an item, columns of the head in its order, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.imports.rankers.account import Account
from bst.imports.rankers.names import input_names
from bst.imports.rankers.ranker import Field, Id, Ranker, first_columns
from bst.system.validation import validated

UNBOUNDED = 1e15  # deviations: no library clamps a number, and much larger ones overflow in float32


def fold(ranker: Ranker, account: Account) -> tuple[BSTConfig, dict[str, Tensor], Vocabularies]:
    """Turn a ranker into the config, the weights (float32) and the vocabularies of a run.

    Raises:
        InputError: the sizes contradict one another, or memory cannot hold the model.
    """
    fields = (*ranker.event_fields, *ranker.candidate_fields, *ranker.context)
    names = input_names([*(field.name for field in fields), *(number.name for number in ranker.numbers)], account)
    items = _vocabulary({*ranker.item_history.index, *ranker.target_by_name[ranker.item].index})
    config = _config(ranker, names, len(items))
    config.require_memory(1)
    history, candidates = _item_tables(ranker, items)
    if own := not torch.equal(history, candidates):
        config = validated(BSTConfig, {**config.model_dump(), "candidate_vectors": "own"}, account.source)
    state = {"item_embedding.weight": history, "positions": _positions(ranker, config), **_head(ranker)}
    if own:
        state["candidate_embedding.weight"] = candidates
    if ranker.event_fields:
        table = _categories_table(ranker.event_fields, first_columns(ranker.history), ranker.dim)
        state["event_embedding.weight"] = table
    if ranker.candidate_fields:
        table = _categories_table(ranker.candidate_fields, first_columns(ranker.target), ranker.dim)
        state["candidate_feature_embedding.weight"] = table
    for place, field in enumerate(ranker.context):
        state[f"context_embeddings.{place}.weight"] = _category_rows(field)
    for block, cell in enumerate(ranker.cells):
        state |= {f"cells.{block}.{name}": tensor for name, tensor in cell.items()}
    context, events, features = (
        {names[field.name]: _vocabulary(field.index) for field in part}
        for part in (ranker.context, ranker.event_fields, ranker.candidate_fields)
    )
    weights = {name: tensor.to(torch.float32).contiguous() for name, tensor in state.items()}
    return config, weights, Vocabularies(items, context, {}, events, features)


def _config(ranker: Ranker, names: dict[str, str], num_items: int) -> BSTConfig:
    def counted(fields: Iterable[Field]) -> list[dict[str, Any]]:
        return [{"name": names[field.name], "num_categories": len(field.index)} for field in fields]

    context = [
        {**values, "dim": field.width} for values, field in zip(counted(ranker.context), ranker.context, strict=True)
    ]
    numbers = [
        {"name": names[number.name], "mean": number.mean, "deviation": number.deviation, "bound": UNBOUNDED}
        for number in ranker.numbers
    ]
    activations = [layer.activation for layer in ranker.head[:-1]]
    values = {
        **{"task": "click", "num_items": num_items, "dim": ranker.dim, "num_blocks": len(ranker.cells)},
        **{"ff_width": ranker.cells[0]["ff_1.weight"].size(0), "activation": "leaky_relu", "attention_biases": True},
        **{"head_widths": [layer.weight.size(0) for layer in ranker.head[:-1]], "tied_output": False},
        **{"context": context, "numbers": numbers, "event_features": counted(ranker.event_fields)},
        "candidate_features": counted(ranker.candidate_fields),
        **({"head_activations": activations} if activations else {}),
        **({"places": "none"} if ranker.positions is None else {"place_vectors": "learned"}),
        **ranker.settings,
    }
    return validated(BSTConfig, values, "the model")


def _item_tables(ranker: Ranker, items: Vocabulary) -> tuple[Tensor, Tensor]:
    """Make the wide rows of items in histories and of candidates: float32 `[V + 1 (+ 1), dim]` each.

    Row 0 is zero. Beside the row of the item stand those of its properties. The last row is that of unknown items,
    which have unknown properties, where the model has one. `ClickBST` multiplies by sqrt(dim), which is undone here.
    """
    with_unknown = ranker.settings.get("unknown_items") == "row"
    ids: list[Id] = items.ids.to_list()
    tables = []
    for fields, in_history in ((ranker.history, True), (ranker.target, False)):
        table = torch.zeros(len(ids) + 1 + with_unknown, ranker.dim)
        columns = first_columns(fields)
        for field in fields:
            target = ranker.partners.get(field.name, "") if in_history else field.name
            if not ranker.is_of_item(target):
                continue
            values = ids if target == ranker.item else [ranker.properties[target].get(item, None) for item in ids]
            rows = [field.row(value, in_history=in_history) for value in values] + [field.unknown] * with_unknown
            first = columns[field.name]
            table[1:, first : first + field.width] = field.rows[rows]
        tables.append(table / math.sqrt(ranker.dim))
    return tables[0], tables[1]


def _vocabulary(ids: Iterable[Id]) -> Vocabulary:
    values = list(ids)
    dtype = pl.Int64 if values and isinstance(values[0], int) else pl.String
    return Vocabulary.fit(pl.Series("id", values, dtype=dtype))


def _category_rows(field: Field) -> Tensor:
    """Return the rows of a category in the order of its vocabulary, behind that of the unknown one."""
    ids = _vocabulary(field.index).ids.to_list()
    return field.rows[[field.unknown, *(field.index[value] for value in ids)]]


def _categories_table(fields: Sequence[Field], columns: dict[str, int], dim: int) -> Tensor:
    """Join the rows of fields, one after another, each at its own columns: `[rows, dim]`."""
    parts = []
    for field in fields:
        rows = _category_rows(field)
        first = columns[field.name]
        parts.append(torch.nn.functional.pad(rows, (first, dim - first - field.width)))
    return torch.cat(parts)


def _positions(ranker: Ranker, config: BSTConfig) -> Tensor:
    """Put the positions at their columns: `[max_length + 1, dim]`, the last row is that of candidates."""
    if ranker.positions is None:
        return torch.zeros(config.max_length + 1, ranker.dim)
    width = ranker.positions.size(1)
    padding = (ranker.positions_at, ranker.dim - ranker.positions_at - width)
    table = torch.nn.functional.pad(ranker.positions.double(), padding)
    if not ranker.candidate_fields:
        # A candidate without features takes the unknown row of each event feature, which its library does not know.
        columns = first_columns(ranker.history)
        for field in ranker.event_fields:
            first = columns[field.name]
            table[-1, first : first + field.width] -= field.rows[field.unknown].double()
    return table


def _head(ranker: Ranker) -> dict[str, Tensor]:
    """Put the columns of the head's input into the order of `ClickBST`, and name its layers."""
    state: dict[str, Tensor] = {}
    for place, layer in enumerate(ranker.head):
        state[f"head.{2 * place}.weight"] = layer.weight
        state[f"head.{2 * place}.bias"] = layer.bias
        state |= {f"head.{2 * place + 1}.{name}": values for name, values in layer.parameters.items()}
    state["head.0.weight"] = _ordered(ranker, ranker.head[0].weight)
    return state


def _ordered(ranker: Ranker, weight: Tensor) -> Tensor:
    """Order columns: the pooled state, the vector of the candidate, the context, the numbers, and what each number
    that is missing adds.
    """
    dim, targets = ranker.dim, first_columns(ranker.target)
    state, candidate = weight.new_zeros((len(weight), dim)), weight.new_zeros((len(weight), dim))
    beside: dict[str, Tensor] = {}
    columns = weight.split([part.width for part in ranker.head_parts], dim=1)
    for part, own in zip(ranker.head_parts, columns, strict=True):
        if part.kind == "state":
            state = own
        elif part.kind == "target":
            candidate[:, targets[part.name] : targets[part.name] + part.width] = own
        else:
            beside[part.name] = own if part.vector is None else (own @ part.vector).unsqueeze(1)
    missing = [
        beside[number.name] * (0.0 if number.fill is None else (number.fill - number.mean) / number.deviation)
        for number in ranker.numbers
    ]
    names = [*(field.name for field in ranker.context), *(number.name for number in ranker.numbers)]
    ordered = [beside[name] for name in names]
    return torch.cat([state, candidate, *ordered, *missing], dim=1)
