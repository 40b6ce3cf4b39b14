"""The inputs of a call for users, from values by name; what is left out is unknown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bst.config import InputGroup
from bst.errors import InputError
from export.contract.inputs import Array, Arrays
from export.contract.manifest import Description
from export.contract.signatures import Dtype

Id = int | str
Value = Id | float | None
UNKNOWN: dict[str, Any] = {"seconds": 0, "numbers": math.nan}


def inputs_of(
    manifest: Description,
    history: Iterable[Id],
    context: Mapping[str, Value],
    events: Mapping[str, Iterable[Value]],
) -> Arrays:
    """Make the inputs of a batch of one; see `inputs_of_users`.

    Args:
        events: values of the events by name, one for each of the history.
    """
    of_request = {name: [value] for name, value in context.items()}
    return inputs_of_users(manifest, [history], of_request, {name: [values] for name, values in events.items()})


def inputs_of_users(
    manifest: Description,
    histories: Iterable[Iterable[Id]],
    context: Mapping[str, Sequence[Value]],
    events: Mapping[str, Sequence[Iterable[Value] | None]],
    sequences: Mapping[str, Sequence[Iterable[Id] | None]] | None = None,
) -> Arrays:
    """Make the inputs of a batch at raw level, but for those of candidates and `k`. Shorter histories are padded in
    front.

    Args:
        context: values of the request by name, one for each user.
        events: values of the events by name, for each user one for each of the history, or None.
        sequences: the other sequences of items by name, for each user one, or None.

    Raises:
        InputError: a history is text, a name is none of the model, there are values for more or fewer users or events,
            or histories are of several lengths and the model counts padding.
    """
    sequences = sequences or {}
    rows = [list_of("history", history) for history in histories]
    length = max([1, *map(len, rows)])
    if manifest.model.padding == "counted" and len({len(row) for row in rows}) > 1:
        raise InputError("histories are of several lengths, and this model counts padding; call it for each length")
    _require_names("context", context, manifest, len(rows), "request")
    _require_names("events", events, manifest, len(rows), "event")
    _require_names("sequences", sequences, manifest, len(rows), "sequence")
    slots = [_padded(row, length, manifest.items.padding) for row in rows]
    inputs = {"history": array_of(slots, manifest.items.dtype)}
    nothing = [None] * len(rows)
    for group in manifest.model.inputs:
        if group.holds == "items":
            own = [list_of(group.name, () if ids is None else ids) for ids in sequences.get(group.name, nothing)]
            longest = max([1, *map(len, own)])
            slots = [_padded(row, longest, manifest.items.padding) for row in own]
            inputs[group.name] = array_of(slots, manifest.items.dtype)
            continue
        for name in group.names(manifest.model):
            facts = manifest.vocabularies_of(group).get(name)
            unknown = facts.padding if facts else UNKNOWN[group.holds]
            values: list[Any] = [unknown if value is None else value for value in context.get(name, nothing)]
            if group.per_event:
                lists = zip(events.get(name, nothing), rows, strict=True)
                full = [_row(f"events {name!r}", row, "the history", len(items), unknown) for row, items in lists]
                values = [_padded(row, length, unknown) for row in full]
            inputs[name] = array_of(values, facts.dtype if facts else "int64")
    return inputs


def inputs_of_candidates(
    manifest: Description,
    candidates: Iterable[Iterable[Id]],
    features: Mapping[str, Sequence[Iterable[Value] | None]],
) -> Arrays:
    """Make the inputs of a batch that candidates have. Shorter lists are filled behind with the padding id.

    Args:
        features: values of the candidates by name, for each user one for each of its candidates, or None.

    Raises:
        InputError: a list is text, a name is none of the model, or there are values for more or fewer candidates.
    """
    rows = [list_of("candidates", row) for row in candidates]
    _require_names("candidate_features", features, manifest, len(rows), "candidate")
    width = max(map(len, rows), default=0)
    filled = [row + [manifest.items.padding] * (width - len(row)) for row in rows]
    inputs = {"candidates": array_of(filled, manifest.items.dtype)}
    nothing = [None] * len(rows)
    for group in manifest.model.candidate_inputs:
        for name, facts in manifest.vocabularies_of(group).items():
            lists = zip(features.get(name, nothing), rows, strict=True)
            what = f"candidate_features {name!r}"
            full = [_row(what, row, "the candidates", len(items), facts.padding) for row, items in lists]
            values = [row + [facts.padding] * (width - len(row)) for row in full]
            inputs[name] = array_of(values, facts.dtype)
    return inputs


def named_inputs(manifest: Description, of: str) -> dict[str, InputGroup]:
    """Return the inputs of a request, of its events or of its candidates by name: `of` as in `InputGroup`."""
    groups = [group for group in (*manifest.model.inputs, *manifest.model.candidate_inputs) if group.of == of]
    return {name: group for group in groups for name in group.names(manifest.model)}


def list_of(what: str, ids: Iterable[Id]) -> list[Id]:
    """List ids.

    Raises:
        InputError: they are text, or no list at all.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        kind = "text" if isinstance(ids, str | bytes) else "no list"
        raise InputError(f"the {what} {ids!r} is {kind}; give a list of ids{', oldest first' * (what == 'history')}")
    return list(ids)


def array_of(values: list[Any], dtype: Dtype) -> Array:
    """Make an array that the session looks at: of numbers it refuses those that int64 would cut."""
    return np.array(values, dtype=object if dtype == "string" else None)


def _require_names(
    argument: str, columns: Mapping[str, Sequence[Any]], manifest: Description, users: int, of: str
) -> None:
    names = named_inputs(manifest, of)
    if strangers := [name for name in columns if name not in names]:
        raise InputError(
            f"{argument} {', '.join(map(repr, strangers))} is no feature of the model; known: "
            f"{', '.join(names) or 'none'}"
        )
    for name, column in columns.items():
        if isinstance(column, str | bytes) or len(column) != users:
            raise InputError(f"{argument} {name!r} is {column!r}, and there are {users} users; give one for each")


def _row(what: str, values: Iterable[Value] | None, beside: str, length: int, unknown: Any) -> list[Any]:
    row = [unknown] * length if values is None else [unknown if value is None else value for value in values]
    if len(row) != length:
        raise InputError(f"{what} has {len(row)} values, and {beside} {length}; give one for each item")
    return row


def _padded(row: list[Any], length: int, filling: Any) -> list[Any]:
    return [filling] * (length - len(row)) + row
