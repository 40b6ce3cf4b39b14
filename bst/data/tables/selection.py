"""Selection of events: by conditions on columns, and by how often users and items come."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import NamedTuple

import polars as pl

from bst.data.tables.columns import WHOLE
from bst.errors import InputError

SHOWN = 10  # values of a column that are listed


@dataclass(frozen=True)
class Condition:
    """`column=value,value`: one of the values stands in the column."""

    text: str
    column: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition as the user writes it; a value with a comma in it stands in double quotes.

        Raises:
            InputError: there is no column and no value.
        """
        column, equals, values = text.partition("=")
        if not column.strip() or not equals:
            raise InputError(f"--where {text!r} is no condition; such as event_type=purchase, or rating=4,5")
        split = next(csv.reader([values], skipinitialspace=True)) or [""]
        return cls(text, column.strip(), tuple(value.strip() for value in split))

    def holds(self, value: str, dtype: pl.DataType) -> pl.Expr:
        """Test for each row whether the column has one of its values."""
        cell = pl.col(self.column)
        if value == "":
            return cell.is_null() | (cell.cast(pl.String) == "")
        if dtype == pl.Boolean:
            return cell == pl.lit({"true": True, "false": False, "1": True, "0": False}.get(value.lower()), pl.Boolean)
        if dtype.is_integer() and re.fullmatch(WHOLE, value):  # a float would merge neighbours beyond 53 bits
            return cell.cast(pl.Int128) == pl.lit(value.partition(".")[0]).cast(pl.Int128, strict=False)
        if dtype.is_numeric():
            number = pl.lit(value).cast(pl.Float64, strict=False)
            return (cell.cast(pl.Float64) == number) | (cell.cast(pl.String) == value)
        if isinstance(dtype, pl.Datetime):
            forms = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")
            return reduce(or_, (cell.dt.to_string(form) == value for form in forms))
        return cell.cast(pl.String).str.strip_chars() == value


def conditions(texts: Sequence[str]) -> list[Condition]:
    """Read all conditions; an empty one is none."""
    return [Condition.parse(text) for text in texts if text.strip()]


def rows_where(frame: pl.LazyFrame, where: Sequence[Condition], path: Path) -> tuple[pl.LazyFrame, list[str]]:
    """Keep the rows for which all conditions hold.

    Returns:
        the rows, not yet read, and remarks on them.

    Raises:
        InputError: a value never occurs; the message has those that do. No row is left.
    """
    if not where:
        return frame, []
    schema = frame.collect_schema()
    pairs = [(test, value) for test in where for value in test.values]
    each = {(test, value): test.holds(value, schema[test.column]).fill_null(value=False) for test, value in pairs}
    fulfilled = reduce(and_, (reduce(or_, (each[test, value] for value in test.values)) for test in where))
    counts = {str(place): mask.any() for place, mask in enumerate(each.values())}
    *occurring, count, count_kept = (
        frame.select(**counts, all=pl.len(), kept=fulfilled.sum()).collect(engine="streaming").row(0)
    )
    for (test, value), occurs in zip(each, occurring, strict=True):
        if not occurs:
            raise InputError(f"{path}: no row has {value!r} in column {test.column!r}; {_values(frame, test.column)}")
    options = " ".join(f"--where {condition.text}" for condition in where)
    if not count_kept:
        raise InputError(f"{path}: none of its {count:,} rows has all of {options}; leave one out")
    return frame.filter(fulfilled), [f"{options} keeps {count_kept:,} of {count:,} rows"]


def _values(frame: pl.LazyFrame, column: str) -> str:
    """List the values of a column, the most frequent first."""
    counts = frame.select(value=pl.col(column)).group_by("value").len().sort("len", "value", descending=[True, False])
    values = counts.head(SHOWN + 1).collect(engine="streaming")["value"].cast(pl.String).to_list()
    more = ", ..." if len(values) > SHOWN else ""
    return f"it has {', '.join(repr(value) if value is not None else 'nothing' for value in values[:SHOWN])}{more}"


def frequent(events: pl.DataFrame, least: int, path: Path) -> tuple[pl.Series, str]:
    """Mark the events that stay when users and items with fewer than `least` events are dropped until none is left.

    Returns:
        bool, as long as `events`, and a remark on it.

    Raises:
        InputError: none stays.
    """
    codes = events.select(pl.col("user", "item").rank("dense").cast(pl.UInt32)).with_row_index("row")
    remaining, before = codes, -1
    while len(remaining) != before:
        before = len(remaining)
        for name in ("item", "user"):
            remaining = remaining.filter(pl.len().over(name) >= least)
    stays = pl.repeat(value=False, n=len(events), dtype=pl.Boolean, eager=True).scatter(remaining["row"], True)
    return stays, remark_on_frequent(least, Size.of(remaining), Size.of(codes), path)


class Size(NamedTuple):
    """The number of events, and of the users and items that they have."""

    events: int
    users: int
    items: int

    @classmethod
    def of(cls, events: pl.DataFrame) -> Size:
        return cls(len(events), events["user"].n_unique(), events["item"].n_unique())

    def __str__(self) -> str:
        return f"{self.events:,} events, {self.users:,} users, {self.items:,} items"


def remark_on_frequent(least: int, kept: Size, whole: Size, path: Path) -> str:
    """Say what stays of the `whole` of a table.

    Raises:
        InputError: nothing does.
    """
    if not kept.events:
        raise InputError(f"{path}: --min-count {least} leaves none of {whole}; give a lower number or more events")
    return f"--min-count {least} keeps {kept}, of {whole}"
