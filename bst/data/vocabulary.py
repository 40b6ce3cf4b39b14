"""Vocabularies: raw ids of items and categories, and the model's indices for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import InputGroup
from bst.errors import InputError

Index = NDArray[np.int64]
INT64_MIN = int(np.iinfo(np.int64).min)
OPTIONAL = ("item_features", "events", "candidate_features")  # vocabularies that not every model has


@dataclass(frozen=True)
class Vocabulary:
    """Distinct raw ids in ascending order; the id at position p has index p + 1, and index 0 stands for none of them.

    Attributes:
        ids: a polars Series of Int64 or String, sorted, without repeats or nulls.
        names: for people, String in the order of `ids`, null where there is none; None without names.
    """

    ids: pl.Series
    names: pl.Series | None = None

    @classmethod
    def fit(cls, values: pl.Series) -> Vocabulary:
        """Collect the distinct ids of `values`, leaving nulls out.

        Raises:
            InputError: `values` are neither Int64 nor String.
        """
        if values.dtype not in (pl.Int64, pl.String):
            raise InputError(f"ids are {values.dtype}; give Int64 or String")
        return cls(values.drop_nulls().unique().sort().rename("id"))

    def joined(self, other: Vocabulary) -> Vocabulary:
        """Return the vocabulary of the ids of both; names are those of `self`.

        Raises:
            InputError: the ids of one are numbers and those of the other are text.
        """
        if self.dtype != other.dtype:
            raise InputError(
                f"ids such as {other.ids[0]!r} are {other.dtype}, and those before are {self.dtype}; write them alike"
            )
        ids = pl.concat([self.ids.rename("id"), other.ids.rename("id")]).unique().sort()
        if self.names is None:
            return Vocabulary(ids)
        named = pl.DataFrame({"id": self.ids, "name": self.names})
        both = pl.DataFrame({"id": ids}).join(named, on="id", how="left", maintain_order="left")
        return Vocabulary(ids, both["name"])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dtype(self) -> Literal["int64", "string"]:
        return "int64" if self.ids.dtype == pl.Int64 else "string"

    @cached_property
    def padding(self) -> int | str:
        """The raw value that stands for "no id here": never one of the ids."""
        if self.dtype == "string":
            return ""
        return next(value for value in chain((0, -1, INT64_MIN), count(-2, -1)) if value not in self.ids)

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
        ids = self.ids.to_numpy()
        if not len(ids):
            return np.zeros(len(series), dtype=np.int64)
        raw = series.fill_null(self.padding).to_numpy()
        places = np.searchsorted(ids, raw).clip(max=len(ids) - 1)
        return np.where(ids[places] == raw, places + 1, 0).astype(np.int64)

    def raw(self, indices: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the raw ids for `indices` of any shape: int64, or object holding str; index 0 gives `padding`.

        Raises:
            InputError: an index is beyond the ids.
        """
        if (beyond := np.asarray(indices)[np.asarray(indices) > len(self)]).size:
            raise InputError(f"index {beyond.flat[0]} is beyond the {len(self)} ids of the vocabulary")
        is_id = np.asarray(indices) > 0
        gathered = self.ids.gather(np.where(is_id, indices, 1).ravel() - 1)
        ids = gathered.to_numpy() if self.dtype == "int64" else np.array(gathered.to_list(), dtype=object)
        return np.where(is_id, ids.reshape(is_id.shape), np.array(self.padding, dtype=ids.dtype))

    def to_dict(self) -> dict[str, Any]:
        names = {} if self.names is None else {"names": self.names.to_list()}
        return {"dtype": self.dtype, "padding": self.padding, "ids": self.ids.to_list(), **names}

    def name(self, raw: int | str) -> str | None:
        """Return the name of an id, if it has one."""
        index = int(self.indices([raw])[0])
        return self.names[index - 1] if index and self.names is not None else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Rebuild what `to_dict` gave.

        Raises:
            InputError: the ids are not sorted and distinct, or not of the type that is stated; there are names, and
                not a text or null for each id.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"a vocabulary is {type(values).__name__}, not a table of dtype and ids")
        dtype = {"int64": pl.Int64, "string": pl.String}.get(str(values.get("dtype", "")))
        if dtype is None:
            raise InputError(f"a vocabulary of dtype {values.get('dtype')!r} is not known; known: int64, string")
        try:
            ids = pl.Series("id", values["ids"], dtype=dtype, strict=True)
        except (KeyError, TypeError, pl.exceptions.PolarsError, OverflowError, UnicodeEncodeError):
            raise InputError(f"a vocabulary of dtype {values['dtype']} holds ids of another type") from None
        if ids.null_count() or not (ids.is_sorted() and ids.n_unique() == len(ids)):
            raise InputError("the ids of a vocabulary must be distinct and in ascending order")
        if len(ids) and ids[0] == "":
            raise InputError("the ids of a vocabulary hold the empty text, which stands for padding")
        return cls(ids, _names(values["names"], len(ids)) if "names" in values else None)

    def _series(self, values: pl.Series | Sequence[Any]) -> pl.Series:
        try:
            series = values if isinstance(values, pl.Series) else pl.Series("id", values, strict=False)
        except UnicodeEncodeError as error:
            raise InputError(f"{error.object!r} is no id: it holds what UTF-8 cannot write; give text") from None
        if len(series) == 0 or series.dtype == pl.Null:
            return series.cast(self.ids.dtype)
        if series.dtype != self.ids.dtype:
            kinds = {pl.Int64: "numbers", pl.String: "text"}
            other = kinds.get(type(series.dtype), str(series.dtype))
            kind = kinds[type(self.ids.dtype)]
            remedy = "integers of 64 bits" if kind == "numbers" else kind
            raise InputError(f"ids such as {series[0]!r} are {other}, but the vocabulary holds {kind}; give {remedy}")
        return series


def _names(values: Any, count: int) -> pl.Series:
    try:
        names = pl.Series("name", values, dtype=pl.String, strict=True)
    except (TypeError, pl.exceptions.PolarsError, UnicodeEncodeError):
        raise InputError("the names of a vocabulary are not a list of texts") from None
    if len(names) != count:
        raise InputError(f"a vocabulary of {count} ids has {len(names)} names")
    return names


@dataclass(frozen=True)
class Vocabularies:
    """The vocabulary of items and, in the model's order, of each context feature, each feature of the items, of the
    events and of the candidates.
    """

    items: Vocabulary
    context: dict[str, Vocabulary]
    item_features: dict[str, Vocabulary] = field(default_factory=dict)
    events: dict[str, Vocabulary] = field(default_factory=dict)
    candidate_features: dict[str, Vocabulary] = field(default_factory=dict)

    def joined(self, other: Vocabularies) -> Vocabularies:
        """Return those of the ids of both, for the items and for the context and event features of `self`."""
        return Vocabularies(
            self.items.joined(other.items),
            {name: vocabulary.joined(other.context[name]) for name, vocabulary in self.context.items()},
            events={name: vocabulary.joined(other.events[name]) for name, vocabulary in self.events.items()},
        )

    @property
    def all(self) -> tuple[Vocabulary, ...]:
        """The vocabularies of all ids that go into a call."""
        return self.items, *self.context.values(), *self.events.values(), *self.candidate_features.values()

    def of(self, group: InputGroup) -> dict[str, Vocabulary]:
        """Return those of the inputs of a group, by name; none where it holds neither categories nor items."""
        if group.holds == "items":
            return {group.name: self.items}
        categories = {"context": self.context, "events": self.events, "candidate_features": self.candidate_features}
        return categories.get(group.name, {})

    def to_dict(self) -> dict[str, Any]:
        """Give them as JSON has them; those in `OPTIONAL` are there only where a model has some."""
        features = {name: _to_dicts(getattr(self, name)) for name in OPTIONAL if getattr(self, name)}
        return {"items": self.items.to_dict(), "context": _to_dicts(self.context), **features}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabularies:
        """Rebuild what `to_dict` gave.

        Raises:
            InputError: a vocabulary is missing or damaged.
        """
        if not isinstance(values, Mapping) or not {"items", "context"} <= set(values):
            raise InputError("there are no vocabularies `items` and `context` in it")
        parts = (_from_dicts(values.get(name, {}), name) for name in ("context", *OPTIONAL))
        return cls(Vocabulary.from_dict(values["items"]), *parts)


def _to_dicts(vocabularies: Mapping[str, Vocabulary]) -> dict[str, Any]:
    return {name: vocabulary.to_dict() for name, vocabulary in vocabularies.items()}


def _from_dicts(values: Any, name: str) -> dict[str, Vocabulary]:
    if not isinstance(values, Mapping):
        raise InputError(f"`{name}` is not a table of vocabularies by name")
    return {feature: Vocabulary.from_dict(vocabulary) for feature, vocabulary in values.items()}
