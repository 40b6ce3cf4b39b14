"""The inputs of a call for one user, from values by name; what is left out is unknown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    """Make the inputs of a batch of one at raw level, but for `candidates` and `k`.

    Args:
        context: values of the request by name.
        events: values of the events by name, one for each of the history.

    Raises:
        InputError: the history is text, a name is none of the model, or there are more or fewer values than events.
    """
    if isinstance(history, str | bytes):
        raise InputError(f"the history {history!r} is text; give a list of ids, oldest first")
    items, model = list(history), manifest.model
    inputs = {"history": _array([items or [manifest.items.padding]], manifest.items.dtype)}
    _require_names("context", context, manifest, per_event=False)
    _require_names("events", events, manifest, per_event=True)
    for group in model.inputs:
        for name in group.names(model):
            facts = manifest.vocabularies_of(group).get(name)
            unknown = facts.padding if facts else UNKNOWN[group.holds]
            value = context.get(name)
            values = [unknown if value is None else value]
            if group.per_event:
                values = [_row(name, events.get(name), len(items), unknown)]
            inputs[name] = _array(values, facts.dtype if facts else "int64")
    return inputs


def named_inputs(manifest: Description, *, per_event: bool) -> dict[str, InputGroup]:
    """Return the inputs of a request, or those of its events, by name."""
    groups = [group for group in manifest.model.inputs if group.per_event == per_event]
    return {name: group for group in groups for name in group.names(manifest.model)}


def _require_names(argument: str, values: Mapping[str, Any], manifest: Description, *, per_event: bool) -> None:
    names = named_inputs(manifest, per_event=per_event)
    if strangers := [name for name in values if name not in names]:
        raise InputError(
            f"{argument} {', '.join(map(repr, strangers))} is no feature of the model; known: "
            f"{', '.join(names) or 'none'}"
        )


def _row(name: str, values: Iterable[Value] | None, length: int, unknown: Any) -> list[Any]:
    row = [unknown] * length if values is None else [unknown if value is None else value for value in values]
    if len(row) != length:
        raise InputError(f"events {name!r} has {len(row)} values, and the history {length}; give one for each item")
    return row or [unknown]


def _array(values: list[Any], dtype: Dtype) -> Array:
    """Make an array that the session looks at: of numbers it refuses those that int64 would cut."""
    return np.array(values, dtype=object if dtype == "string" else None)
