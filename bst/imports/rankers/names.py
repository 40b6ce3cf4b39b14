"""Names of inputs: those of the library, changed where no language could take them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bst.config.values import RESERVED_NAMES, is_plain_name
from bst.imports.rankers.account import Account


def input_names(names: Sequence[str], account: Account) -> dict[str, str]:
    """Give each of the library's different `names` the name of its input, and remark on those that change."""
    free = {name for name in names if _is_possible(name)}
    chosen: dict[str, str] = {}
    for name in names:
        chosen[name] = name if name in free else _changed(name, free | set(chosen.values()))
        if chosen[name] != name:
            account.remark(f"The input of `{name}` is called `{chosen[name]}`: no input can have that name.")
    return chosen


def _is_possible(name: str) -> bool:
    return is_plain_name(name) and name not in RESERVED_NAMES


def _changed(name: str, taken_names: set[str]) -> str:
    base = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "input"
    base = base if _is_possible(base) else f"input_{base}"
    number, changed = 1, base
    while changed in taken_names:
        number += 1
        changed = f"{base}_{number}"
    return changed
