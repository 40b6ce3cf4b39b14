"""Sources: a file as named columns that are not read yet, and the user's settings for its layout."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

PAIRS = "holds lists of lists or pairs; write items and times as two lists"


@dataclass(frozen=True)
class Layout:
    """The user's settings for a text file; what is not set is detected.

    Attributes:
        needed: the columns of users, items and times, as the settings name them.
        separator: the text between fields.
        columns: names of all fields; there is no header then.
        header: whether the first line names the columns.
        ragged: each line is a user and then any number of items.
        columns_option: the option that names the fields; for tables beside the events, the only one.
    """

    needed: tuple[str, ...]
    separator: str | None = None
    columns: tuple[str, ...] = ()
    header: bool = True
    ragged: bool = False
    columns_option: str = "--columns"

    @property
    def options(self) -> bool:
        """Whether the command has all options for it."""
        return self.columns_option == "--columns"


@dataclass(frozen=True)
class Source:
    """An opened file, whose rows are not read yet.

    Attributes:
        columns: the names in the file, without blanks around; a name may be repeated.
        frame: the rows, not yet read, with each of `columns` once: as text where `is_text`.
        remarks: guesses and omissions.
        advice: the remedy where none of the needed columns is there.
        lists: columns whose cells are lists, written with blanks between.
        problem: searches the whole file for its first error; returns it with the remedy, or None.
        uneven: finds the first line with too few or too many fields; None where the number of fields may differ.
        suspicious: marks rows that may come from such lines.
    """

    columns: tuple[str, ...]
    frame: pl.LazyFrame
    is_text: bool = True
    remarks: tuple[str, ...] = ()
    advice: str = ""
    lists: frozenset[str] = frozenset()
    problem: Callable[[], str | None] = lambda: None
    uneven: Callable[[], str | None] | None = None
    suspicious: pl.Expr = field(default_factory=lambda: pl.lit(value=False))


def stripped(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Strip blanks from the names of columns, with a remark that lists the padded ones."""
    bare = [name.strip() for name in names]
    padded = [name for name, own in zip(bare, names, strict=True) if name != own]
    remark = f"blanks around the name of column {', '.join(map(repr, padded))} are left out"
    return bare, (remark,) if padded else ()


def as_utf8(path: Path, encoding: str, packed: bool) -> str:
    """Write a shell command that converts a text."""
    name = path.name.removesuffix(".gz") if packed else path.name
    target = shlex.quote(str(path.with_name(re.sub(r"(\.\w+)?$", r".utf8\1", name, count=1))))
    source = shlex.quote(str(path))
    if packed:
        return f"gunzip -c {source} | iconv -f {encoding} -t UTF-8 > {target}"
    return f"iconv -f {encoding} -t UTF-8 {source} > {target}"


def in_shell(program: str, path: Path, suffix: str, packed: bool) -> str:
    """Write a shell command that sends a text through a program."""
    source, target = shlex.quote(str(path)), shlex.quote(str(path.with_name(f"{path.name}.{suffix}.csv")))
    return f"gunzip -c {source} | {program} > {target}" if packed else f"{program} < {source} > {target}"
