"""Lists in cells: a row of a user with lists of items and times becomes a row an event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bst.data.tables.sources.source import PAIRS, Source
from bst.errors import InputError

SHOWN = 60  # characters of a cell
LOOKED_AT = 100  # cells that decide whether a column of text may hold lists
QUOTED = r"""'[^']*'|"[^"]*\""""
# What stands in a cell without its quoted parts: brackets around all of it, and what they may not hold.
FLAT = r"(?s)^\s*(\[[^\[\]]*\]|\([^()]*\))\s*$"
NESTED = r"(?s)^\s*[\[(]\s*[\[({].*[\])}],?\s*[\])]\s*$"
CUT = r"(^|[\s,\[(])\.\.\.([\s,\])]|$)"
OBJECTS = r"\b(datetime\.\w+|Timestamp|Decimal|UUID|np\.\w+)\("
AROUND = r"(?s)^\s*[\[(](.*)[\])]\s*$"
QUOTED_OR_PLAIN = rf"""{QUOTED}|[^\s,'"][^,'"]*"""
WORDS = rf"""{QUOTED}|[^\s,'"]+"""


def list_columns(frame: pl.LazyFrame, columns: Sequence[str], source: Source) -> list[str]:
    """Name those of `columns` whose cells are lists: by their type, or by the brackets around their text.

    Text counts as a list if brackets stand around each of the first cells, and some cell of these columns has no or
    several elements: `[HD]` alone is a name.
    """
    schema = frame.select(columns).collect_schema()
    texts = [name for name, dtype in schema.items() if dtype == pl.String and name not in source.lists]
    head = frame.select(texts).head(LOOKED_AT).collect() if texts else pl.DataFrame()
    bracketed = [name for name in texts if _are_bracketed(head[name])]
    typed = {name for name, dtype in schema.items() if isinstance(dtype, pl.List | pl.Array)}
    sure = typed or source.lists.intersection(columns)
    several = sure or any(_have_several(rows, name) for name in bracketed for rows in (head.lazy(), frame))
    return [name for name in columns if name in typed | source.lists or (several and name in bracketed)]


def _are_bracketed(cells: pl.Series) -> bool:
    bare = cells.filter(cells.str.strip_chars() != "").str.replace_all(QUOTED, "")
    return len(bare) > 0 and (bare.str.contains(FLAT) | bare.str.contains(NESTED)).all()


def _have_several(rows: pl.LazyFrame, column: str) -> bool:
    counts = rows.filter(pl.col(column).str.strip_chars() != "").select(_split(pl.col(column), False).list.len())
    return bool(counts.select((pl.col(column) != 1).any()).collect(engine="streaming").item())


def parsed(frame: pl.LazyFrame, columns: Sequence[str], source: Source, path: Path) -> pl.LazyFrame:
    """Make lists of text of `columns`, where they are text.

    Raises:
        InputError: an element is a list or pair itself, a list is cut short, or a cell is no list.
    """
    schema = frame.select(columns).collect_schema()
    for name, dtype in schema.items():
        if isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_nested():
            raise InputError(f"{path}: column {name!r} {PAIRS}")
        if dtype == pl.String and name not in source.lists:
            _require_plain(frame, name, path)
    return frame.with_columns(
        _split(pl.col(name), name in source.lists) if dtype == pl.String else pl.col(name).cast(_list_of(dtype))
        for name, dtype in schema.items()
    )


def _require_plain(frame: pl.LazyFrame, column: str, path: Path) -> None:
    cell = pl.col(column)
    bare = cell.str.replace_all(QUOTED, "")
    wrong = {
        PAIRS: bare.str.contains(NESTED),
        "was cut by numpy ('...'); write the lists with .tolist()": bare.str.contains(CUT),
        "holds {cell}, objects as Python shows them; write plain numbers or text": bare.str.contains(OBJECTS),
        "holds {cell}, with quotes within quotes; write the table as JSON lines or Parquet": (
            bare.str.contains(r"""['"]""") | cell.str.contains(r"""\\['"]""")
        ),
        "holds {cell} among lists; write a list in each cell, [] where it is empty": (
            (cell.str.strip_chars() != "") & ~bare.str.contains(FLAT)
        ),
    }
    firsts = {str(place): cell.filter(mark).first() for place, mark in enumerate(wrong.values())}
    for problem, example in zip(wrong, frame.select(**firsts).collect(engine="streaming").row(0), strict=True):
        if example is not None:
            raise InputError(f"{path}: column {column!r} {problem.replace('{cell}', repr(example[:SHOWN]))}")


def _list_of(dtype: pl.DataType) -> pl.DataType:
    return pl.List(dtype.inner) if isinstance(dtype, pl.Array | pl.List) else dtype


def _split(cell: pl.Expr, by_blanks: bool) -> pl.Expr:
    if by_blanks:
        return cell.str.extract_all(r"\S+")
    within = cell.str.replace(AROUND, "${1}")
    plain = pl.when(within.str.contains(",", literal=True)).then(within.str.extract_all(QUOTED_OR_PLAIN))
    split = plain.otherwise(within.str.extract_all(WORDS))  # as numpy writes them
    return split.list.eval(pl.element().str.strip_chars().str.strip_chars("'\""))


def exploded(frame: pl.LazyFrame, columns: Sequence[str], path: Path) -> tuple[pl.LazyFrame, str]:
    """Make a row of each element of the lists in `columns`; cells of the other columns stay beside each.

    Returns:
        the rows, and a remark that counts them.

    Raises:
        InputError: two lists of a row are of different lengths.
    """
    first, *others = columns
    lengths = {name: pl.col(name).list.len().fill_null(0) for name in columns}
    uneven = pl.any_horizontal(lengths[name] != lengths[first] for name in columns)
    differing = frame.with_row_index("row").filter(uneven)
    if others and len(rows := differing.select("row", **lengths).head(1).collect(engine="streaming")):
        row, *counts = rows.row(0)
        sizes = " and ".join(f"{count} in {name!r}" for name, count in zip(columns, counts, strict=True))
        raise InputError(f"{path}: the lists of row {row} are of different lengths: {sizes}; make them equal")
    counted = frame.select(rows=pl.len(), empty=(lengths[first] == 0).sum(), events=lengths[first].sum())
    count, empty, events = counted.collect(engine="streaming").row(0)
    remark = f"{events:,} events come out of {count:,} rows with lists in {', '.join(map(repr, columns))}"
    if empty:
        remark += f"; left out, for an empty one: {empty:,}"
    return frame.filter(lengths[first] > 0).explode(list(columns)), remark
