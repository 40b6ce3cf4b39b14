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
    """What a person says of a text file; what is not said is looked for.

    Attributes:
        wanted: the columns of users, items and times, as the settings name them.
        separator: what stands between fields.
        columns: names of all fields; there is no header then.
        header: whether the first line names the columns.
        ragged: each line is a user and then any number of items.
        columns_option: how a person names the fields. Tables beside the events have no other option.
    """

    wanted: tuple[str, ...]
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
    """A file that has been looked at.

    Attributes:
        columns: their names, as the file has them, without blanks around; one may stand there twice.
        frame: the rows, not yet read, with each of `columns` once: as text where `is_text`.
        remarks: what was guessed or left out.
        advice: what to do where none of the columns that are wanted is there.
        lists: columns whose cells are lists, written with blanks between.
        problem: looks through the whole file for what is wrong with it, and says it with the remedy, if it finds it.
        uneven: says the first line with too few or too many fields; None where lines have no such number.
        suspicious: which rows may be of such lines.
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
    """Take blanks from around the names of columns, and say of which."""
    bare = [name.strip() for name in names]
    padded = [name for name, own in zip(bare, names, strict=True) if name != own]
    said = f"blanks around the name of column {', '.join(map(repr, padded))} are left out"
    return bare, (said,) if padded else ()


def as_utf8(path: Path, encoding: str, packed: bool) -> str:
    """Say how to convert a text, in a line for a shell."""
    name = path.name.removesuffix(".gz") if packed else path.name
    target = shlex.quote(str(path.with_name(re.sub(r"(\.\w+)?$", r".utf8\1", name, count=1))))
    source = shlex.quote(str(path))
    if packed:
        return f"gunzip -c {source} | iconv -f {encoding} -t UTF-8 > {target}"
    return f"iconv -f {encoding} -t UTF-8 {source} > {target}"


def in_shell(program: str, path: Path, suffix: str, packed: bool) -> str:
    """Say how to send a text through a program, in a line for a shell."""
    source, target = shlex.quote(str(path)), shlex.quote(str(path.with_name(f"{path.name}.{suffix}.csv")))
    return f"gunzip -c {source} | {program} > {target}" if packed else f"{program} < {source} > {target}"
