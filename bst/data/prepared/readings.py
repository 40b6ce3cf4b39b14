"""The reading of columns in pieces as if they were read whole: what their values are is decided over all rows first."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from bst.data.events import OpenEvents
from bst.data.tables.columns import MISSING
from bst.data.tables.names import TIME
from bst.data.tables.problems import Problems
from bst.data.tables.times import NUMBER, form_of
from bst.errors import InputError

REFUSED_ROWS = 1_000_000  # that are looked at for a message
LOOKED_AT = 2**22  # rows
Read = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class Staged:
    """Rows in an Arrow file, looked at `LOOKED_AT` at a time: polars maps what it scans, and memory counts that."""

    path: Path

    @cached_property
    def num_rows(self) -> int:
        return int(self.slice(0, None).select(pl.len()).collect().item())

    @cached_property
    def schema(self) -> pl.Schema:
        return self.slice(0, None).collect_schema()

    def slice(self, first: int, count: int | None) -> pl.LazyFrame:
        return pl.scan_ipc(self.path).slice(first, count)

    def select(self, *columns: pl.Expr) -> pl.DataFrame:
        """Select from each slice, and join what comes out: a row a slice of sums, for example."""
        firsts = range(0, self.num_rows, LOOKED_AT)
        return pl.concat([self.slice(first, LOOKED_AT).select(*columns).collect() for first in firsts])


def readings_of(opened: OpenEvents, rows: Staged, problems: Problems) -> dict[str, Read]:
    """Decide how each column is read, from all `rows`; return what reads a piece of it, by the names of `Events`.

    What is wrong with a column goes to `problems`; its pieces are left as they are.
    """
    path = opened.table.path
    readings: dict[str, Read] = {}
    roles = {name: role for role, name in opened.roles.items()}
    for name, (column, read) in opened.readers().items():
        dtype, readings[name] = rows.schema[column], _as_it_is
        with problems.collected():
            if column in roles:
                is_time = roles[column] == TIME
                _require_all(rows, column, path, *REQUIRED[is_time], is_time=is_time)
            if name == "time":
                readings[name] = _of_times(read, rows, column, dtype, opened)
            elif dtype == pl.String and name not in opened.config.numbers:
                readings[name] = _of_texts(read, rows, column)
            else:
                readings[name] = read
    return readings


def _as_it_is(values: pl.Series) -> pl.Series:
    return values


# As `ids` and `read_times` say it.
REQUIRED = {False: ("is empty", "drop them"), True: ("has no time (empty or NaN)", "fill them or drop those rows")}


def _require_all(rows: Staged, name: str, path: Path, what: str, remedy: str, *, is_time: bool) -> None:
    """Refuse a column that lacks a value, with the number of all rows that do and the first of them."""
    value, dtype = pl.col(name), rows.schema[name]
    lacks = value.is_null()
    if dtype.is_float():
        lacks |= value.is_nan()
    if dtype == pl.String and is_time:
        lacks |= value.str.strip_chars().str.to_lowercase().is_in(MISSING)
    lacking = rows.select(lacks.sum().alias("count"), lacks.arg_max().alias("first"))
    if count := int(lacking["count"].sum()):
        place = int((lacking["count"] > 0).arg_max() or 0)
        first = place * LOOKED_AT + lacking["first"][place]
        raise InputError(f"{path}: column {name!r} {what} in {count} rows, first in row {first}; {remedy}")


def _of_texts(read: Read, rows: Staged, column: str) -> Read:
    """Read all distinct texts of a column together, and then a piece by looking its texts up."""
    texts = rows.select(pl.col(column).unique(maintain_order=True))[column].unique(maintain_order=True)

    def of_all_rows(message: str) -> str:
        """Correct the number of rows with a word for a missing value, which is that of distinct texts."""
        words = pl.col(column).str.strip_chars().str.to_lowercase().is_in(MISSING)
        count = int(rows.select(words.sum())[column].sum())
        return re.sub(r"in [\d,]+ rows", f"in {count:,} rows", message)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            values = read(texts)
        except InputError as error:
            raise InputError(of_all_rows(str(error))) from None
    for warning in caught:
        warnings.warn(of_all_rows(str(warning.message)), stacklevel=2)
    table = pl.DataFrame({"text": texts, "value": values})

    def look_up(piece: pl.Series) -> pl.Series:
        looked_up = (
            piece.alias("text").to_frame().join(table, on="text", how="left", nulls_equal=True, maintain_order="left")
        )
        return looked_up["value"].alias(piece.name)

    return look_up


def _of_times(read: Read, rows: Staged, column: str, dtype: pl.DataType, opened: OpenEvents) -> Read:
    """Decide the form of dates, or the type of numbers, over the whole column."""
    value = pl.col(column)
    if dtype.is_decimal():
        whole = rows.select((value.cast(pl.Int128).cast(dtype) == value).all())[column].all()
        return _cast_first(read, pl.Int128 if whole else pl.Float64)
    if dtype != pl.String or opened.config.time_format is not None:
        return read
    text = value.str.strip_chars()
    others = text.filter(~text.str.contains(NUMBER))
    integers = text.cast(pl.Int128, strict=False).null_count() == 0
    facts = rows.select(others.first().alias("example"), integers.alias("whole"))
    examples, whole = facts["example"].drop_nulls(), facts["whole"].all()
    if examples.is_empty():
        return _cast_first(read, pl.Int128 if whole else pl.Float64)
    form = form_of(examples[0])
    if form is None:  # what is wrong with them is said of many, not of one
        read(rows.select(others)[column].head(REFUSED_ROWS))
    return read if form is None else lambda piece: opened.read_dates(piece, form)


def _cast_first(read: Read, dtype: type[pl.DataType]) -> Read:
    def cast(piece: pl.Series) -> pl.Series:
        bare = piece.str.strip_chars() if piece.dtype == pl.String else piece
        return read(bare.cast(dtype))

    return cast
