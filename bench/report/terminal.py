"""Tables as text for a terminal of any width: a column is shown whole or left out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import typer

from bench.report.columns import Column, Sheet
from bst.system.console import width_of_stdout, wrapped

GAP = "  "
NARROWEST = 8  # of a column of text


def print_sheet(sheet: Sheet, elsewhere: str) -> None:
    """Print a table on stdout, and below it the columns for which stdout is too narrow; they are `elsewhere`."""
    width = width_of_stdout()
    shown = fitting(sheet, width)
    left_out = [column.head for column in sheet.columns if column not in shown and column.head]
    lines = layout(sheet, shown, width)
    typer.secho(wrapped(sheet.title), bold=True)
    typer.echo(next(lines))
    for title, rows in sheet.parts:
        if title:
            typer.secho(wrapped(title), bold=True)
        for _ in rows:
            typer.echo(next(lines))
    if left_out:
        typer.echo(wrapped(f"left out at {width} columns: {', '.join(left_out)}; {elsewhere}"))


def fitting(sheet: Sheet, width: int | None) -> list[Column]:
    """Return the columns that fit: without those of the highest rank, then without those of the next, down to rank
    0.
    """
    shown = list(sheet.columns)
    for rank in sorted({column.rank for column in shown if column.rank}, reverse=True):
        if width is None or _total(_widths(sheet, shown)) <= width:
            break
        shown = [column for column in shown if column.rank < rank]
    return shown


def layout(sheet: Sheet, shown: Sequence[Column], width: int | None) -> Iterator[str]:
    """Write the heads, then each row: of several lines where even the columns that always stay are too wide, because
    the widest column of text is folded then. Numbers never are.
    """
    widths = _widths(sheet, shown)
    texts = [place for place, column in enumerate(shown) if not column.numeric]
    if width is not None and texts and _total(widths) > width:
        widest = max(texts, key=widths.__getitem__)
        widths[widest] = max(NARROWEST, widths[widest] - (_total(widths) - width))
    for cells in _cells(sheet, shown):
        folded = [
            [cell] if column.numeric else textwrap.wrap(cell, size) or [""]
            for column, cell, size in zip(shown, cells, widths, strict=True)
        ]
        lines = (
            GAP.join(
                cell.rjust(size) if column.numeric else cell.ljust(size)
                for column, cell, size in zip(shown, parts, widths, strict=True)
            ).rstrip()
            for parts in zip_longest(*folded, fillvalue="")
        )
        yield "\n".join(lines)


def _cells(sheet: Sheet, shown: Sequence[Column]) -> Iterator[list[str]]:
    yield [column.head for column in shown]
    for _, rows in sheet.parts:
        yield from ([column.cell(row) for column in shown] for row in rows)


def _widths(sheet: Sheet, shown: Sequence[Column]) -> list[int]:
    return [max(map(len, cells)) for cells in zip(*_cells(sheet, shown), strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)
