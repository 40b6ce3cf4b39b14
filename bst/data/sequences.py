"""Histories as flat arrays with offsets, made from a table or from lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import EVENT_TIME, REQUEST_TIME
from bst.data.interactions import Interactions
from bst.data.vocabulary import Index, Vocabularies, Vocabulary
from bst.errors import InputError

Array = NDArray[Any]
PIECE = 1_000_000
PAGES = 2**10  # rows that are read together: Linux maps up to 2 MB of a file for each that stands alone
SHARD_EVENTS = 2**22  # of all events, those of a stretch of users that is read, shuffled or checked at a time


def _release() -> None:
    """Do nothing: what is in memory stays there."""


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
        beside: what else the data has, by name: `events`, int32 `[num_events, num_event_features]`, categories of the
            events; `event_time`, int64 `[num_events]`, seconds since 1970; `numbers`, float32, shaped as `context`, NaN
            where one is not known.
        release: called after each look at a few events or users: lets the parts of mapped files go from memory.
    """

    items: NDArray[np.int32]
    offsets: Index
    context: NDArray[np.int32]
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    release: Callable[[], None] = _release

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

    @property
    def shards(self) -> Index:
        """The borders of the stretches of users that have about `SHARD_EVENTS` events each, int64 `[num_shards + 1]`:
        shard s has the users `[shards[s], shards[s + 1])`.
        """
        levels = np.arange(SHARD_EVENTS, self.offsets[-1] - SHARD_EVENTS + 1, SHARD_EVENTS)
        return np.unique(np.concatenate([[0], np.searchsorted(self.offsets, levels), [self.num_users]]))

    def before(self, stops: Index) -> Iterator[Index]:
        """Yield the positions of the events before the stop of their user, a shard at a time, int64.

        Args:
            stops: a position of each user, int64 `[num_users]`.
        """
        for first, last in pairwise(self.shards):
            starts = self.offsets[first:last]
            yield ranges(starts, stops[first:last] - starts)
            self.release()

    def items_at(self, events: Index) -> NDArray[np.int32]:
        """Return the items at positions, int32 `[len(events)]`."""
        return self.rows_of(self.items, events)

    def rows_of(self, values: NDArray[Any], rows: Index) -> NDArray[Any]:
        """Return `values[rows]` of one of the arrays; of a mapped one, memory holds few pages at a time."""
        copied = np.empty((len(rows), *values.shape[1:]), dtype=values.dtype)
        for start in range(0, len(rows), PAGES):
            copied[start : start + PAGES] = values[rows[start : start + PAGES]]
            self.release()
        return copied

    def context_of(self, users: Index, events: Index) -> NDArray[np.int32]:
        """Return the context of each of `events` (a position in `items`, of the user beside it)."""
        return self._of_request(self.context, users, events)

    def beside_rows(self, slots: Index, real: NDArray[np.bool_], users: Index, targets: Index) -> dict[str, Array]:
        """Cut what stands beside rows of events.

        Args:
            slots: positions in `items`, `[batch, length]`; `real` marks those that count.
            users, targets: whose request each row is, `[batch]` both, and the position of the event to be predicted.

        Returns:
            By the names of `INPUT_GROUPS`: `events`, `event_time` (0 where a slot is not real), `request_time`,
            `numbers`.
        """
        rows = self.beside_events(slots, real)
        if (times := self.beside.get(EVENT_TIME)) is not None:
            rows[REQUEST_TIME] = times[targets]
        if (numbers := self.beside.get("numbers")) is not None:
            rows["numbers"] = self._of_request(numbers, users, targets)
        return rows

    def beside_events(self, slots: Index, real: NDArray[np.bool_]) -> dict[str, Array]:
        """Cut what stands beside the events alone: `events` and `event_time`, as `beside_rows`."""
        rows: dict[str, Array] = {}
        if (events := self.beside.get("events")) is not None:
            rows["events"] = np.where(real[..., None], events[slots], 0)
        if (times := self.beside.get(EVENT_TIME)) is not None:
            rows[EVENT_TIME] = np.where(real, times[slots], 0)
        return rows

    def numbers_of(self, users: Index, events: Index) -> Array:
        """Return the numbers of each of `events`, as `context_of`."""
        return self._of_request(self.beside["numbers"], users, events)

    def _of_request(self, values: NDArray[Any], users: Index, events: Index) -> NDArray[Any]:
        rows = events if len(values) == len(self.items) else users
        return values[rows] if rows.ndim > 1 else self.rows_of(values, rows)


def fit_vocabularies(interactions: Interactions) -> Vocabularies:
    """Collect the catalogue and the categories; every item of the table is part of the catalogue."""
    context, events = (
        {name: Vocabulary.fit(interactions.values(name)) for name in names}
        for names in (interactions.context, interactions.event_features)
    )
    return Vocabularies(Vocabulary.fit(interactions.events["item"]), context, events=events)


def to_sequences(interactions: Interactions, vocabularies: Vocabularies) -> Sequences:
    """Turn interactions into indices; an item or category outside the vocabularies becomes 0."""
    events, users = interactions.events, interactions.users
    counts = events["user"].rle().struct.field("len").to_numpy()
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def categories(name: str, vocabulary: Vocabulary) -> Array:
        # Whether a feature looks like numbers or text may differ from file to file; what the vocabulary holds decides.
        return _indices(interactions.values(name).cast(vocabulary.ids.dtype, strict=False), vocabulary)

    def of_requests(names: Sequence[str], read: Callable[[str], Array], dtype: Any) -> Array:
        """Join columns of the request: a row a user, or a row an event if one of them changes by event."""
        per_event = any(name not in users.columns for name in names)
        joined = np.zeros((len(events) if per_event else len(users), len(names)), dtype=dtype)
        for column, name in enumerate(names):
            values = read(name)
            joined[:, column] = np.repeat(values, counts) if per_event and name in users.columns else values
        return joined

    context = of_requests(interactions.context, lambda name: categories(name, vocabularies.context[name]), np.int32)
    beside: dict[str, Array] = {}
    if interactions.event_features:
        columns = [categories(name, vocabularies.events[name]) for name in interactions.event_features]
        beside["events"] = np.stack(columns, axis=1)
    if interactions.times is not None:
        beside[EVENT_TIME] = interactions.times.to_numpy()
    if interactions.numbers:
        beside["numbers"] = of_requests(
            interactions.numbers, lambda name: _floats(interactions.values(name)), np.float32
        )
    return Sequences(_indices(events["item"], vocabularies.items), offsets, context, beside)


def _floats(values: pl.Series) -> Array:
    return values.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _indices(values: pl.Series, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Look many values up, a piece at a time, so that only the result is as long as they are."""
    indices = np.empty(len(values), dtype=np.int32)
    for start in range(0, len(values), PIECE):
        indices[start : start + PIECE] = vocabulary.indices(values.slice(start, PIECE))
    return indices


def ranges(starts: Index, lengths: Index) -> Index:
    """Join the numbers `[start, start + length)` of each, one after another: int64 `[lengths.sum()]`."""
    ends = np.cumsum(lengths)
    joined: Index = np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
    return joined


def are_indices(row: NDArray[Any], lowest: int) -> bool:
    """Return whether a row, not empty, holds whole numbers from `lowest` to the largest int32."""
    return row.dtype.kind in "iu" and bool(lowest <= row.min() and row.max() <= np.iinfo(np.int32).max)
