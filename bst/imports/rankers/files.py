"""Files of other libraries, which are data: JSON, and YAML with tuples. Nothing in them is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from bst.errors import InputError, reason
from bst.system.files import DATA_BYTES, parse_json, read_text

YAML_BYTES = 2**20
MOST_NODES = 100_000  # values in a YAML file, with those that an alias repeats
TUPLE = "tag:yaml.org,2002:python/tuple"


def read_json_file(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    try:
        text = read_text(path, DATA_BYTES)
        values = parse_json(text)
        require_text(text, values)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from None
    return values


def require_text(text: str, values: Any) -> None:
    """Raise ValueError where `values`, which JSON `text` holds, have half a character: UTF-8 cannot write it."""
    if r"\ud" in text.lower():  # an escape, where both halves of a character have their place
        json.dumps(values, ensure_ascii=False).encode()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, with tuples."""


_Loader.add_constructor(TUPLE, lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))


def read_yaml_file(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a table. Of tags that are no plain values it knows `!!python/tuple` alone.

    Raises:
        InputError: it cannot be read, holds anything else, or repeats itself by aliases without measure.
    """
    try:
        values = yaml.load(read_text(path, YAML_BYTES), Loader=_Loader)
        _require_few(values)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is no YAML of plain values ({reason(error)})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is no table of settings by name")
    return {str(name): value for name, value in values.items()}


def _require_few(values: Any) -> None:
    """Raise ValueError where aliases make more values than anybody writes, before anything walks through them, and
    where a text has half a character: UTF-8 cannot write it.
    """
    stack, count = [values], 0
    while stack:
        value = stack.pop()
        count += 1
        if count > MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES:,} values")
        if isinstance(value, str):
            value.encode()
        parts = (*value, *value.values()) if isinstance(value, dict) else value
        stack += parts if isinstance(parts, list | tuple) else ()
