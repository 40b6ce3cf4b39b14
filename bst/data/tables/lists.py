"""Lists in cells: a row of a user with the items, and their times, becomes a row an event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bst.data.tables.sources.source import Source
from bst.errors import InputError

LOOKED_AT = 100  # cells that decide whether a column of text holds lists
WRITTEN = re.compile(r"\s*[\[(].*[\])]\s*", re.DOTALL)
QUOTED_OR_PLAIN = r"""'[^']*'|"[^"]*"|[^\s,'"\[\]()][^,'"\[\]()]*"""
WORDS = r"""'[^']*'|"[^"]*"|[^\s,'"\[\]()]+"""


def list_columns(frame: pl.LazyFrame, columns: Sequence[str], source: Source) -> list[str]:
    """Name those of `columns` whose cells are lists: of a type that says so, by their head, or as they are written."""
    schema = frame.select(columns).collect_schema()
    texts = [name for name, dtype in schema.items() if dtype == pl.String and name not in source.lists]
    head = frame.select(texts).head(LOOKED_AT).collect() if texts else pl.DataFrame()
    written = {name for name in texts if _are_lists(head[name].drop_nulls())}
    typed = {name for name, dtype in schema.items() if isinstance(dtype, pl.List | pl.Array)}
    return [name for name in columns if name in written | typed | source.lists]


def _are_lists(cells: pl.Series) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and all(WRITTEN.fullmatch(cell) for cell in filled)


def parsed(frame: pl.LazyFrame, columns: Sequence[str], source: Source) -> pl.LazyFrame:
    """Make lists of text of `columns`, where they are text."""
    schema = frame.select(columns).collect_schema()
    return frame.with_columns(
        _split(pl.col(name), name in source.lists) if dtype == pl.String else pl.col(name).cast(_list_of(dtype))
        for name, dtype in schema.items()
    )


def _list_of(dtype: pl.DataType) -> pl.DataType:
    return pl.List(dtype.inner) if isinstance(dtype, pl.Array | pl.List) else dtype


def _split(cell: pl.Expr, by_blanks: bool) -> pl.Expr:
    if by_blanks:
        return cell.str.extract_all(r"\S+")
    plain = pl.when(cell.str.contains(",", literal=True)).then(cell.str.extract_all(QUOTED_OR_PLAIN))
    split = plain.otherwise(cell.str.extract_all(WORDS))  # as numpy writes them
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
    said = f"{events:,} events come out of {count:,} rows with lists in {', '.join(map(repr, columns))}"
    if empty:
        said += f"; left out, for an empty one: {empty:,}"
    return frame.filter(lengths[first] > 0).explode(list(columns)), said
