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
from bst.imports.rankers.ranker import Field, Id, Pair, Ranker, first_columns
from bst.system.validation import validated

UNBOUNDED = 1e15  # deviations: no library clamps a number, and much larger ones overflow in float32


def fold(ranker: Ranker, account: Account) -> tuple[BSTConfig, dict[str, Tensor], Vocabularies]:
    """Turn a ranker into the config, the weights (float32) and the vocabularies of a run.

    Raises:
        InputError: the sizes contradict one another, or memory cannot hold the model.
    """
    fields = (*ranker.event_fields, *ranker.candidate_fields, *ranker.context)
    sequences = [pair.item_history.name for pair in ranker.others]
    numbers = [number.name for number in ranker.numbers]
    names = input_names([*(field.name for field in fields), *numbers, *sequences], account)
    of_pairs = ({*pair.item_history.ids, *pair.target_by_name[pair.item].ids} for pair in ranker.pairs)
    items = _vocabulary(set().union(*of_pairs))
    config = _config(ranker, names, len(items), ["shared" for _ in ranker.pairs])
    config.require_memory(1)
    encoders = [_encoder(pair, items) for pair in ranker.pairs]
    config = _config(ranker, names, len(items), [vectors for vectors, _ in encoders])
    (_, state), *others = encoders
    state |= _head(ranker)
    for place, (_, tensors) in enumerate(others):
        state |= {f"sequences.{place}.{name}": tensor for name, tensor in tensors.items()}
    if ranker.event_fields:
        table = _categories_table(ranker.event_fields, first_columns(ranker.history), ranker.dim)
        state["event_embedding.weight"] = table
    if ranker.candidate_fields:
        table = _categories_table(ranker.candidate_fields, first_columns(ranker.target), ranker.dim)
        state["candidate_feature_embedding.weight"] = table
    for place, field in enumerate(ranker.context):
        state[f"context_embeddings.{place}.weight"] = _category_rows(field)
    context, events, features = (
        {names[field.name]: _vocabulary(field.ids) for field in part}
        for part in (ranker.context, ranker.event_fields, ranker.candidate_fields)
    )
    weights = {name: tensor.to(torch.float32).contiguous() for name, tensor in state.items()}
    return config, weights, Vocabularies(items, context, {}, events, features)


def _config(ranker: Ranker, names: dict[str, str], num_items: int, vectors: Sequence[str]) -> BSTConfig:
    """Describe the model; `vectors` are those of the candidates of each pair, `shared` or `own`."""

    def counted(fields: Iterable[Field]) -> list[dict[str, Any]]:
        return [{"name": names[field.name], "num_categories": len(field.ids)} for field in fields]

    context = [
        {**values, "dim": field.width} for values, field in zip(counted(ranker.context), ranker.context, strict=True)
    ]
    numbers = [
        {"name": names[number.name], "mean": number.stored_mean, "deviation": number.deviation, "bound": UNBOUNDED}
        for number in ranker.numbers
    ]
    sequences = [
        {"name": names[pair.item_history.name], **_sequence_values(pair), "candidate_vectors": kind}
        for pair, kind in zip(ranker.others, vectors[1:], strict=True)
    ]
    activations = [layer.activation for layer in ranker.head[:-1]]
    values = {
        **{"task": "click", "num_items": num_items, "dim": ranker.dim, "num_blocks": len(ranker.cells)},
        **{"ff_width": ranker.cells[0]["ff_1.weight"].size(0), "activation": "leaky_relu", "attention_biases": True},
        **{"head_widths": [layer.weight.size(0) for layer in ranker.head[:-1]], "tied_output": False},
        **{"context": context, "numbers": numbers, "event_features": counted(ranker.event_fields)},
        **{"candidate_features": counted(ranker.candidate_fields), "sequences": sequences},
        **({"head_activations": activations} if activations else {}),
        **({"places": "none"} if ranker.positions is None else {"place_vectors": "learned"}),
        **{**ranker.settings, "candidate_vectors": vectors[0]},
    }
    return validated(BSTConfig, values, "the model")


def _sequence_values(pair: Pair) -> dict[str, Any]:
    own = {key: pair.settings[key] for key in ("max_length", "places", "longer_histories")}
    return {"dim": pair.dim, "ff_width": pair.cells[0]["ff_1.weight"].size(0), **own}


def _encoder(pair: Pair, items: Vocabulary) -> tuple[str, dict[str, Tensor]]:
    """Return the `candidate_vectors` of a pair, and its weights."""
    history, candidates = _item_tables(pair, items)
    state = {"item_embedding.weight": history, "positions": _positions(pair)}
    for block, cell in enumerate(pair.cells):
        state |= {f"cells.{block}.{name}": tensor for name, tensor in cell.items()}
    if torch.equal(history, candidates):
        return "shared", state
    return "own", {**state, "candidate_embedding.weight": candidates}


def _item_tables(pair: Pair, items: Vocabulary) -> tuple[Tensor, Tensor]:
    """Make the wide rows of items in histories and of candidates: float32 `[V + 1 (+ 1), dim]` each.

    Row 0 is zero. Beside the row of the item stand those of its properties. The last row is that of unknown items,
    which have unknown properties, where the model has one. `ClickBST` multiplies by sqrt(dim), which is undone here.
    """
    with_unknown = pair.settings.get("unknown_items") == "row"
    ids: list[Id] = items.ids.to_list()
    tables = []
    for fields, in_history in ((pair.history, True), (pair.target, False)):
        table = torch.zeros(len(ids) + 1 + with_unknown, pair.dim)
        columns = first_columns(fields)
        for field in fields:
            target = pair.partners.get(field.name, "") if in_history else field.name
            if not pair.is_of_item(target):
                continue
            rows = rows_of_items(pair, field, target, ids) + [field.unknown] * with_unknown
            first = columns[field.name]
            table[1:, first : first + field.width] = field.rows[rows]
        tables.append(table / math.sqrt(pair.dim))
    return tables[0], tables[1]


def _vocabulary(ids: Iterable[Id]) -> Vocabulary:
    values = list(ids)
    dtype = pl.Int64 if values and isinstance(values[0], int) else pl.String
    return Vocabulary.fit(pl.Series("id", values, dtype=dtype))


def _category_rows(field: Field) -> Tensor:
    """Return the rows of a category in the order of its vocabulary, behind that of all others."""
    ids = _vocabulary(field.ids).ids.to_list()
    return field.rows[[field.nameless, *(field.index[value] for value in ids)]]


def _categories_table(fields: Sequence[Field], columns: dict[str, int], dim: int) -> Tensor:
    """Join the rows of fields, one after another, each at its own columns: `[rows, dim]`."""
    parts = []
    for field in fields:
        rows = _category_rows(field)
        first = columns[field.name]
        parts.append(torch.nn.functional.pad(rows, (first, dim - first - field.width)))
    return torch.cat(parts)


def _positions(pair: Pair) -> Tensor:
    """Put the positions at their columns: `[max_length + 1, dim]`, the last row is that of candidates."""
    if pair.positions is None:
        return torch.zeros(pair.settings["max_length"] + 1, pair.dim)
    width = pair.positions.size(1)
    padding = (pair.positions_at, pair.dim - pair.positions_at - width)
    table = torch.nn.functional.pad(pair.positions.double(), padding)
    if not pair.candidate_fields:
        # A candidate without features takes the unknown row of each event feature, which its library does not know.
        columns = first_columns(pair.history)
        for field in pair.event_fields:
            first = columns[field.name]
            table[-1, first : first + field.width] -= field.rows[field.nameless].double()
    return table


def _head(ranker: Ranker) -> dict[str, Tensor]:
    """Name the layers of the head, with the columns of its input in the order of `ClickBST`: the pooled state, the
    vector of the candidate, the context, the numbers, and what each number that is missing adds.
    """
    state: dict[str, Tensor] = {}
    for place, layer in enumerate(ranker.head):
        state[f"head.{2 * place}.weight"] = layer.weight
        state[f"head.{2 * place}.bias"] = layer.bias
        state |= {f"head.{2 * place + 1}.{name}": values for name, values in layer.parameters.items()}
    weight = ranker.head[0].weight
    beside: dict[str, Tensor] = {}
    for part, own in zip(ranker.head_parts, _columns(ranker, weight), strict=True):
        if part.kind in ("context", "number"):
            beside[part.name] = own if part.vector is None else (own @ part.vector).unsqueeze(1)
    missing = [beside[number.name] * number.scaled(number.fill) for number in ranker.numbers]
    for number in ranker.numbers:  # what a mean loses in float32, of which a large one with a small deviation has much
        state["head.0.bias"] = state["head.0.bias"] - beside[number.name].squeeze(1) * number.scaled(number.mean)
    names = [*(field.name for field in ranker.context), *(number.name for number in ranker.numbers)]
    ordered = [beside[name] for name in names]
    state["head.0.weight"] = torch.cat([_state_and_candidate(ranker, ranker), *ordered, *missing], dim=1)
    for place, pair in enumerate(ranker.others):
        state[f"sequences.{place}.head.0.weight"] = _state_and_candidate(ranker, pair)
        state[f"sequences.{place}.head.0.bias"] = weight.new_zeros(len(weight))
    return state


def _columns(ranker: Ranker, weight: Tensor) -> tuple[Tensor, ...]:
    return weight.split([part.width for part in ranker.head_parts], dim=1)


def _state_and_candidate(ranker: Ranker, pair: Pair) -> Tensor:
    """Return the columns of the first layer for the pooled state of a pair, and for its vector of the candidate.

    A target field of several pairs counts in the first of them.
    """
    weight, targets = ranker.head[0].weight, first_columns(pair.target)
    before = ranker.pairs[: next(place for place, other in enumerate(ranker.pairs) if other is pair)]
    counted = {field.name for other in before for field in other.target}
    joined = weight.new_zeros((len(weight), 2 * pair.dim))
    for part, own in zip(ranker.head_parts, _columns(ranker, weight), strict=True):
        if part.kind == "state" and part.name == pair.history[0].name:
            joined[:, : pair.dim] = own
        elif part.kind == "target" and part.name in targets and part.name not in counted:
            first = pair.dim + targets[part.name]
            joined[:, first : first + part.width] += own
    return joined


def rows_of_items(pair: Pair, field: Field, target: str, items: Sequence[Id]) -> list[int]:
    """Look up the row of each item in the table of `field`, which holds what the field `target` says of an item: its
    id, or a property. An item that the properties do not list has an unknown one.
    """
    own = pair.properties.get(target, {item: item for item in items})
    return [field.row(own[item]) if item in own else field.unknown for item in items]
