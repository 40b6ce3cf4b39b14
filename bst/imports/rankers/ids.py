"""Raw ids as people's files have them: lists of one kind, and the values of each item."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bst.imports.rankers.account import Account
from bst.imports.rankers.ranker import Id

WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
ITEM_FEATURES = "item_features.json"
INT64 = range(-(2**63), 2**63)
SHOWN = 60  # characters of a value in a message


def shown(value: object) -> str:
    """Write a value of an untrusted file in a message."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def is_whole_number(text: str) -> bool:
    """Return whether a text is a whole number of 64 bits, written as a number is."""
    return WHOLE.fullmatch(text) is not None and int(text) in INT64


def as_id(value: Any, numeric: bool) -> Id | None:
    """Read a raw value as an id of a vocabulary of whole numbers, which may be floats as tables with gaps have them, or
    of texts; None where it can be none.
    """
    if numeric and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if numeric:
        return int(value) if is_whole_number(str(value)) else None
    return str(value)


def ids_by_row(values: Any, what: str, rows: int, account: Account) -> dict[Id, int]:
    """Read a list of raw ids, whose first has row 1, null where a row has none.

    Offences are those of the list: of another length than the table, of mixed kinds, or with repeats.
    """
    if not isinstance(values, list):
        account.offences.append(f"{what} is no list of raw ids")
        return {}
    if len(values) != rows - 1:
        account.offences.append(
            f"{what} has {len(values)} ids, and its table has {rows} rows, the first of which is padding; give "
            f"{rows - 1} ids, with null for a row without one"
        )
        return {}
    index: dict[Id, int] = {}
    for row, raw in enumerate(values, start=1):
        if raw is None:
            continue
        value = as_id(raw, isinstance(raw, int | float))
        if value is None:
            account.offences.append(f"{what} has {shown(raw)}, which is neither text nor a whole number of 64 bits")
            return {}
        if index and type(value) is not type(next(iter(index))):
            account.offences.append(f"{what} mixes numbers and text, such as {shown(value)}; give ids of one kind")
            return {}
        if value in index:
            account.offences.append(f"{what} has {shown(value)} twice; each id has a row of its own")
            return {}
        index[value] = row
    if not index.keys() - {""}:
        account.offences.append(f"{what} has no ids that a request can name")
    return index


def item_properties(
    values: Any, orders: Sequence[Sequence[Id | None]], numeric: Mapping[str, bool], account: Account
) -> dict[str, dict[Id, Id | None]]:
    """Read `item_features.json`: for each target field that is a property of the item, the raw value of each item.

    Args:
        orders: the items in the order of the lists, None for a row without one; of several orders, the first of the
            length of a list counts.
        numeric: the target fields besides the item, and whether their ids are whole numbers.
    """
    if not isinstance(values, Mapping):
        account.offences.append(f"{ITEM_FEATURES} is no table of lists by target field")
        return {}
    properties: dict[str, dict[Id, Id | None]] = {}
    for name, column in values.items():
        if name not in numeric:
            others = ", ".join(numeric) or "there are none"
            problem = f"{ITEM_FEATURES} has {shown(name)}, which is no target field besides the item ({others})"
            account.offences.append(problem)
            continue
        order = next((ids for ids in orders if isinstance(column, list) and len(ids) == len(column)), None)
        if order is None:
            size = f"{len(column)} values" if isinstance(column, list) else "no list"
            account.offences.append(
                f"{ITEM_FEATURES} has {size} of {name} for {len(orders[-1])} items; give a value for each, in the "
                "order of the item vocabulary"
            )
            continue
        properties[name] = _values_by_item(name, order, column, numeric[name], account)
    return properties


def _values_by_item(
    name: str, order: Sequence[Id | None], column: Sequence[Any], numeric: bool, account: Account
) -> dict[Id, Id | None]:
    values: dict[Id, Id | None] = {}
    for item, raw in zip(order, column, strict=True):
        value = as_id(raw, numeric)
        if value is None and raw not in (None, ""):
            kind = "whole numbers of 64 bits" if numeric else "text"
            account.offences.append(f"{ITEM_FEATURES} has {shown(raw)} as {name} of {shown(item)}; give {kind}")
            break
        if item is not None:
            values[item] = value
    return values
