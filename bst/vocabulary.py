"""Raw ids and their indices: what a caller knows an item or a category by, and what the model calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.errors import InputError

Index = NDArray[np.int64]
INT64_MIN = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class Vocabulary:
    """Distinct raw ids in ascending order; the id at position p has index p + 1, and index 0 stands for none of them.

    `ids` is a polars Series of Int64 or String, sorted, without repeats or nulls.
    """

    ids: pl.Series

    @classmethod
    def fit(cls, values: pl.Series) -> Vocabulary:
        """Collect the distinct ids of `values` (Int64 or String), leaving nulls out."""
        return cls(values.drop_nulls().unique().sort().rename("id"))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dtype(self) -> Literal["int64", "string"]:
        return "int64" if self.ids.dtype == pl.Int64 else "string"

    @property
    def padding(self) -> int | str:
        """The raw value that stands for "no id here": never one of the ids."""
        if self.dtype == "string":
            return ""
        return next(value for value in (0, -1, INT64_MIN) if value not in self.ids)

    def indices(self, values: pl.Series | Sequence[Any]) -> Index:
        """Look `values` up: int64 of the same length, 0 where the vocabulary does not hold a value or it is null.

        Raises:
            InputError: `values` are of another kind (text or numbers) than the ids.
        """
        series = self._series(values)
        if self.dtype == "string":
            # A null stays null in the cast, as does a string that the Enum does not list.
            codes = series.cast(pl.Enum(self.ids), strict=False).to_physical()
            return (codes.cast(pl.Int64) + 1).fill_null(0).to_numpy()
        known = self.ids.to_numpy()
        wanted = series.fill_null(self.padding).to_numpy()
        places = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        return np.where(known[places] == wanted, places + 1, 0).astype(np.int64)

    def raw(self, indices: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Give the raw ids for `indices` of any shape: int64, or object holding str; index 0 gives `padding`."""
        known = np.asarray(indices) > 0
        found = self.ids.gather(np.where(known, indices, 1).ravel() - 1)
        ids = found.to_numpy() if self.dtype == "int64" else np.array(found.to_list(), dtype=object)
        return np.where(known, ids.reshape(known.shape), np.array(self.padding, dtype=ids.dtype))

    def to_dict(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "padding": self.padding, "ids": self.ids.to_list()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Rebuild what `to_dict` gave.

        Raises:
            InputError: the ids are not sorted and distinct, or not of the type that is stated.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"a vocabulary is {type(values).__name__}, not a table of dtype and ids")
        dtype = {"int64": pl.Int64, "string": pl.String}.get(values.get("dtype", ""))
        if dtype is None:
            raise InputError(f"a vocabulary of dtype {values.get('dtype')!r} is not known; known: int64, string")
        try:
            ids = pl.Series("id", values["ids"], dtype=dtype, strict=True)
        except (KeyError, TypeError, pl.exceptions.PolarsError, OverflowError):
            raise InputError(f"a vocabulary of dtype {values['dtype']} holds ids of another type") from None
        if ids.null_count() or not (ids.is_sorted() and ids.n_unique() == len(ids)):
            raise InputError("the ids of a vocabulary must be distinct and in ascending order")
        return cls(ids)

    def _series(self, values: pl.Series | Sequence[Any]) -> pl.Series:
        series = values if isinstance(values, pl.Series) else pl.Series("id", values, strict=False)
        if len(series) == 0 or series.dtype == pl.Null:
            return series.cast(self.ids.dtype)
        if series.dtype != self.ids.dtype:
            kinds = {pl.Int64: "numbers", pl.String: "text"}
            given = kinds.get(type(series.dtype), str(series.dtype))
            kind = kinds[type(self.ids.dtype)]
            raise InputError(f"ids such as {series[0]!r} are {given}, but the vocabulary holds {kind}; give {kind}")
        return series


@dataclass(frozen=True)
class Vocabularies:
    """The vocabulary of items and, in the model's order, of each context feature."""

    items: Vocabulary
    context: dict[str, Vocabulary]

    def to_dict(self) -> dict[str, Any]:
        return {"items": self.items.to_dict(), "context": {name: v.to_dict() for name, v in self.context.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabularies:
        """Rebuild what `to_dict` gave.

        Raises:
            InputError: a vocabulary is missing or damaged.
        """
        if not isinstance(values, Mapping) or not {"items", "context"} <= set(values):
            raise InputError("there are no vocabularies `items` and `context` in it")
        context = {name: Vocabulary.from_dict(one) for name, one in values["context"].items()}
        return cls(Vocabulary.from_dict(values["items"]), context)
