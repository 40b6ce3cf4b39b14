"""JSON lines as a source: an object a line, its values as text."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bst.data.tables.packed import Head, plain_lines
from bst.data.tables.sources.source import PAIRS, Layout, Source, as_utf8, stripped
from bst.errors import InputError

SHOWN = 60  # characters of a line
FLAT = "write an object a line with plain values (pandas: to_json(F, orient='records', lines=True))"


@dataclass(frozen=True)
class _Objects:
    """A file of JSON lines, and the keys to read from it; the values of those in `lists` are lists."""

    path: Path
    packed: bool
    keys: tuple[str, ...]
    lists: frozenset[str] = frozenset()

    def frame(self) -> pl.LazyFrame:
        line = pl.scan_lines(self.path, name="line", glob=False).select(pl.col("line").str.strip_prefix("\ufeff"))
        written = line.filter(pl.col("line").str.strip_chars() != "")
        types = {key: pl.List(pl.String) if key in self.lists else pl.String for key in self.keys}
        return written.select(pl.col("line").str.json_decode(pl.Struct(types)).struct.unnest())

    def holds_any(self) -> bool:
        """Return whether a line has one of the keys."""
        try:
            any_value = pl.any_horizontal(pl.col(key).is_not_null().any() for key in self.keys)
            return bool(self.frame().select(any_value).collect(engine="streaming").item())
        except pl.exceptions.PolarsError:
            return True  # the error is reported when the columns are read

    def problem(self) -> str | None:
        """Find the first line that is no JSON object, or of another kind than those before."""
        with plain_lines(self.path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    text = line.decode().removeprefix("\ufeff").strip()
                except UnicodeDecodeError:
                    convert = as_utf8(self.path, "LATIN1", self.packed)
                    return f"line {number} is not UTF-8; where it is Latin-1, say: {convert}"
                row = _parsed(text) if text else {}
                if not isinstance(row, dict):
                    return f"line {number} is no JSON object: {text[:SHOWN]!r}; {_remedy(self.path, text)}"
                for key in self.keys:
                    value, what = row.get(key), "a list" if key in self.lists else "one value"
                    if isinstance(value, list) and any(isinstance(inner, list | dict) for inner in value):
                        return f"column {key!r} {PAIRS}"
                    if isinstance(value, dict) or (
                        value is not None and isinstance(value, list) != (key in self.lists)
                    ):
                        shown = json.dumps(value)[:SHOWN]
                        return f"column {key!r} holds {shown} in line {number}, not {what} as elsewhere; make it one"
        return None


def open_json_lines(path: Path, head: Head, layout: Layout) -> Source:
    """Open JSON lines; the columns are the keys of the first lines, and the needed ones.

    Raises:
        InputError: a line is no JSON object, or a needed value is an object itself.
    """
    written = [line for line in head.lines() if line.strip()]
    rows = [row for line in written if isinstance(row := _parsed(line), dict)]
    if len(rows) < len(written):
        raise InputError(f"{path}: {_Objects(path, head.packed, ()).problem() or 'its first line is too long'}")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    names, remarks = stripped(keys)
    if late := [name for name in layout.needed if name not in names]:
        late = [name for name in late if _Objects(path, head.packed, (name,)).holds_any()]
        keys, names = [*keys, *late], [*names, *late]
    needed = {key: name for key, name in zip(keys, names, strict=True) if name in layout.needed}
    for key, name in needed.items():
        if nested := [row[key] for row in rows if isinstance(row.get(key), dict)]:
            raise InputError(f"{path}: column {name!r} holds objects such as {json.dumps(nested[0])[:SHOWN]}; {FLAT}")
        if any(isinstance(inner, list | dict) for row in rows if isinstance(row.get(key), list) for inner in row[key]):
            raise InputError(f"{path}: column {name!r} {PAIRS}")
    lists = frozenset(key for key in needed if any(isinstance(row.get(key), list) for row in rows))
    objects = _Objects(path, head.packed, tuple(needed), lists)
    return Source(tuple(names), objects.frame().rename(needed), remarks=remarks, problem=objects.problem)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _remedy(path: Path, text: str) -> str:
    source, target = shlex.quote(str(path)), shlex.quote(f"{path}.jsonl")
    try:
        if isinstance(ast.literal_eval(text), dict):
            program = "import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]"
            return f'it is written as in Python; say: python3 -c "{program}" < {source} > {target}'
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    return f"write an object a line, where they reach over several: jq -c . {source} > {target}"
