"""Histories as flat arrays with offsets, made from a table or from lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.data.interactions import Interactions
from bst.data.vocabulary import Index, Vocabularies, Vocabulary
from bst.errors import InputError

PIECE = 1_000_000


@dataclass(frozen=True)
class Sequences:
    """The items of all users, one after another.

    User u owns `items[offsets[u] : offsets[u + 1]]`, oldest first::

        items    [ 5 2 9 | 7 7 | 1 4 4 8 ]
        offsets  [ 0       3     5         9 ]

    Attributes:
        items: int32 `[num_events]`, indices from 1.
        offsets: int64 `[num_users + 1]`.
        context: int32 `[num_users, num_context]`, or `[num_events, num_context]` where a feature changes by event.
    """

    items: NDArray[np.int32]
    offsets: Index
    context: NDArray[np.int32]

    @classmethod
    def from_histories(
        cls, histories: Iterable[Sequence[int]], context: Iterable[Sequence[int]] | None = None
    ) -> Sequences:
        """Join histories of item indices, oldest first; `context` holds a row of category indices a user, or an event.

        Raises:
            InputError: an index is negative or no whole number, a history is empty, or rows are missing or uneven.
        """
        rows = [np.asarray(history) for history in histories]
        for user, row in enumerate(rows):
            if row.ndim != 1 or not len(row) or not are_indices(row, lowest=1):
                raise InputError(f"history {user} is {row.tolist()!r}; give at least one item index, each 1 or more")
        contexts = [np.asarray(row) for row in context] if context is not None else [np.zeros(0, np.int32)] * len(rows)
        for place, row in enumerate(contexts):
            if row.ndim != 1 or (len(row) and not are_indices(row, lowest=0)):
                raise InputError(
                    f"row {place} of context is {row.tolist()!r}; give category indices, 0 where it is not known"
                )
        offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        widths = sorted({len(row) for row in contexts})
        if len(contexts) not in (len(rows), offsets[-1]) or len(widths) > 1:
            raise InputError(
                f"{len(contexts)} rows of context, {widths} wide, for {len(rows)} histories of {offsets[-1]} events; "
                "give one a history or one an event, all of one width"
            )
        values = np.array(contexts, dtype=np.int32).reshape(len(contexts), *widths or [0])
        return cls(np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32), offsets, values)

    @property
    def num_users(self) -> int:
        return len(self.offsets) - 1

    def context_of(self, users: Index, events: Index) -> NDArray[np.int32]:
        """Return the context of each of `events` (a position in `items`, of the user beside it)."""
        return self.context[events if len(self.context) == len(self.items) else users]


def fit_vocabularies(interactions: Interactions) -> Vocabularies:
    """Collect the catalogue and the categories; every item of the table is part of the catalogue."""
    context = {name: Vocabulary.fit(interactions.context_values(name)) for name in interactions.context}
    return Vocabularies(Vocabulary.fit(interactions.events["item"]), context)


def to_sequences(interactions: Interactions, vocabularies: Vocabularies) -> Sequences:
    """Turn interactions into indices; an item or category outside the vocabularies becomes 0."""
    events, users = interactions.events, interactions.users
    counts = events["user"].rle().struct.field("len").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    per_event = any(name not in users.columns for name in interactions.context)
    context = np.zeros((len(events) if per_event else len(users), len(interactions.context)), dtype=np.int32)
    for column, name in enumerate(interactions.context):
        vocabulary = vocabularies.context[name]
        # Whether a feature looks like numbers or text may differ from file to file; what the vocabulary holds decides.
        values = interactions.context_values(name).cast(vocabulary.ids.dtype, strict=False)
        indices = _indices(values, vocabulary)
        spread = per_event and name in users.columns
        context[:, column] = np.repeat(indices, counts) if spread else indices
    return Sequences(_indices(events["item"], vocabularies.items), offsets, context)


def _indices(values: pl.Series, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Look many values up, a piece at a time, so that only the result is as long as they are."""
    indices = np.empty(len(values), dtype=np.int32)
    for start in range(0, len(values), PIECE):
        indices[start : start + PIECE] = vocabulary.indices(values.slice(start, PIECE))
    return indices


def are_indices(row: NDArray[Any], lowest: int) -> bool:
    """Return whether a row, not empty, holds whole numbers from `lowest` to the largest int32."""
    return row.dtype.kind in "iu" and bool(lowest <= row.min() and row.max() <= np.iinfo(np.int32).max)
