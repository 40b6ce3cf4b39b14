"""Columns of lists as flat arrays with offsets, and rectangles that are cut from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.data.vocabulary import Vocabulary
from export.contract.inputs import Array

Index = NDArray[np.int64]
PIECE = 2**19  # ids that are looked up at once


@dataclass(frozen=True)
class Lists:
    """Lists of several lengths, one after another: row i is `values[starts[i] : starts[i] + lengths[i]]`."""

    values: Array
    starts: Index
    lengths: Index

    @classmethod
    def of(cls, values: Array, lengths: Index) -> Lists:
        return cls(values, np.cumsum(lengths) - lengths, lengths)

    def newest(self, length: int) -> Lists:
        """Return the last `length` of each row."""
        kept = np.minimum(self.lengths, length)
        return Lists(self.values, self.starts + self.lengths - kept, kept)

    def rectangle(self, rows: Index, width: int, filling: Any, *, in_front: bool) -> Array:
        """Cut `rows` out as `[len(rows), width]`, the shorter ones filled up in front or behind."""
        lengths = self.lengths[rows, None]
        places = np.arange(width) - (width - lengths if in_front else 0)
        inside = places >= 0 if in_front else places < lengths
        if not len(self.values):
            return np.full(inside.shape, filling, dtype=self.values.dtype)
        return np.where(inside, self.values[np.where(inside, self.starts[rows, None] + places, 0)], filling)

    def counts(self, marks: NDArray[np.bool_]) -> Index:
        """Count the marked values of each row."""
        ends = self.starts + self.lengths
        return np.bincount(np.searchsorted(ends, np.flatnonzero(marks), side="right"), minlength=len(ends))


def as_array(values: pl.Series) -> Array:
    """Return values as int64, float32, or object holding str. Equal texts are one object, which costs less memory."""
    if values.dtype != pl.String:
        return values.to_numpy()
    texts = values.unique(maintain_order=True)
    return np.array(texts.to_list(), dtype=object)[values.cast(pl.Enum(texts)).to_physical().to_numpy()]


def flat(column: pl.Series) -> tuple[pl.Series, Index]:
    """Part a column of lists into its elements and the lengths of its rows; a null is an empty list."""
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    return column.explode(empty_as_null=False, keep_nulls=False), lengths


@dataclass(frozen=True)
class Ids:
    """Lists of raw ids.

    Attributes:
        lists: int64, or object holding str.
        unknown: int64 `[rows]`, the number of ids of each row that the vocabulary does not hold. Nulls and the padding
            id are not counted.
    """

    lists: Lists
    unknown: Index


def ids_of(column: pl.Series, vocabulary: Vocabulary) -> Ids:
    """Read a column of lists of ids, of the vocabulary's dtype. A null among them is padding."""
    elements, lengths = flat(column)
    elements = elements.fill_null(vocabulary.padding)
    lists = Lists.of(as_array(elements), lengths)
    return Ids(lists, lists.counts(_unknown(elements, vocabulary)))


def _unknown(elements: pl.Series, vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Mark the ids that a vocabulary does not hold, a piece at a time: only the marks are as long as they are."""
    marks = np.empty(len(elements), dtype=np.bool_)
    for start in range(0, len(elements), PIECE):
        piece = elements.slice(start, PIECE)
        marks[start : start + PIECE] = (vocabulary.indices(piece) == 0) & (piece != vocabulary.padding).to_numpy()
    return marks


class ListColumns:
    """Columns of lists whose rows come in any order."""

    def __init__(self, rows: int, dtypes: Mapping[str, type[pl.DataType]]) -> None:
        """Take the number of rows, and the columns with the dtypes of their elements."""
        self.dtypes = dtypes
        self.lengths: Index = np.zeros(rows, dtype=np.int64)
        self.pieces: list[tuple[Index, dict[str, Array]]] = []

    def add(self, rows: Index, kept: NDArray[np.bool_], columns: Mapping[str, Array]) -> None:
        """Add what is `kept` of columns `[len(rows), n]`, as the lists of `rows`."""
        self.lengths[rows] = kept.sum(axis=1)
        self.pieces.append((rows, {name: values[kept] for name, values in columns.items()}))

    def frame(self) -> pl.DataFrame:
        """Make the columns; a row that was not added is an empty list. Pieces are freed on the way."""
        return pl.DataFrame([self._column(name, dtype) for name, dtype in self.dtypes.items()])

    def _column(self, name: str, dtype: type[pl.DataType]) -> pl.Series:
        starts, total = np.cumsum(self.lengths) - self.lengths, int(self.lengths.sum())
        values = np.zeros(total, dtype=self.pieces[0][1][name].dtype if self.pieces else np.int64)
        for rows, columns in self.pieces:
            lengths = self.lengths[rows]
            shifts = starts[rows] - (np.cumsum(lengths) - lengths)
            values[np.repeat(shifts, lengths) + np.arange(lengths.sum())] = columns.pop(name)
        elements = pl.Series(name, values, dtype=dtype)
        if total and (self.lengths == self.lengths[0]).all():
            return elements.reshape((-1, int(self.lengths[0]))).arr.to_list()
        row = pl.Series("row", np.repeat(np.arange(len(self.lengths), dtype=np.int32), self.lengths)).set_sorted()
        lists = pl.DataFrame([row, elements]).group_by("row", maintain_order=True).agg(name)
        every = pl.DataFrame({"row": np.arange(len(self.lengths), dtype=np.int32)})
        return every.join(lists, on="row", how="left", maintain_order="left")[name].fill_null(pl.lit([]))
