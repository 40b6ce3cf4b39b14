"""Impressions: what was shown in each request, and whether it was clicked; the clicks are the histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bst.config import EVENT_TIME, REQUEST_TIME
from bst.data.batches import Batch, Examples, int64, slots_of, tensors
from bst.data.sequences import Sequences
from bst.data.vocabulary import Index
from bst.data.windows import TrainingWindows, alike, batches_an_epoch

AT_ONCE = 64  # candidates of a row; a request that shows more is several rows


@dataclass(frozen=True)
class Impressions(Examples):
    """One request a row: a user, the history then, and what was shown.

    Request r shows `shown[offsets[r] : offsets[r + 1]]`, and reads `sequences.items[start of its user : targets[r]]`.
    Requests of one user that read the same, history and inputs beside it, are one row.

    Attributes:
        context: int32 `[num_requests, num_context]`.
        beside: `numbers`, float32 `[num_requests, n]`, and `request_time`, int64 `[num_requests]`, where a model reads
            them.
        offsets: int64 `[num_requests + 1]`.
        shown: int32 `[num_impressions]`, item indices; 0 is an item that the model does not know.
        clicked: bool `[num_impressions]`.
    """

    context: NDArray[np.int32]
    beside: Mapping[str, NDArray[Any]]
    offsets: Index
    shown: NDArray[np.int32]
    clicked: NDArray[np.bool_]

    @classmethod
    def gather(
        cls,
        sequences: Sequences,
        users: Index,
        stops: Index,
        context: NDArray[np.int32],
        beside: Mapping[str, NDArray[Any]],
        shown: NDArray[np.int32],
        clicked: NDArray[np.bool_],
    ) -> Self:
        """Gather impressions, of which all arrays have a row each, into requests.

        Args:
            stops: one past the newest click of the history, a position in `sequences.items`.
        """
        # As integers, so that unknown numbers (NaN) equal one another.
        numbers = beside.get("numbers", np.zeros((len(users), 0), np.float32)).view(np.int32)
        times = beside.get(REQUEST_TIME, np.zeros(len(users), np.int64))
        keys = [users, stops, times, *context.T, *numbers.T]
        order = np.lexsort(keys[::-1])
        begins = np.zeros(len(order), dtype=np.bool_)
        begins[:1] = True
        for key in keys:
            begins[1:] |= np.diff(key[order]) != 0
        starts = np.flatnonzero(begins)
        places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        starts = np.flatnonzero(begins | (places % AT_ONCE == 0))
        first = order[starts]
        return cls(
            *(sequences, users[first], stops[first], context[first]),
            {name: values[first] for name, values in beside.items()},
            *(np.append(starts, len(order)), shown[order], clicked[order]),
        )

    @classmethod
    def drawn(cls, examples: Examples, candidates: Index) -> Self:
        """Make impressions of examples and `candidates`, int64 `[len(examples), n]`, of which the first is the target:
        as if all had been shown and the target clicked.
        """
        sequences, users, targets = examples.sequences, examples.users, examples.targets
        clicked = np.zeros(candidates.shape, dtype=np.bool_)
        clicked[:, 0] = True
        beside = {}
        if "numbers" in sequences.beside:
            beside["numbers"] = sequences.numbers_of(users, targets)
        if EVENT_TIME in sequences.beside:
            beside[REQUEST_TIME] = sequences.beside[EVENT_TIME][targets]
        return cls(
            *(sequences, users, targets, sequences.context_of(users, targets), beside),
            *(np.arange(len(users) + 1) * candidates.shape[1], candidates.ravel().astype(np.int32), clicked.ravel()),
        )

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All that distinguishes these impressions from others of the same histories."""
        beside = [self.beside[name] for name in sorted(self.beside)]
        return [self.users, self.targets, self.context, *beside, self.offsets, self.shown, self.clicked]

    @property
    def counts(self) -> Index:
        """How many impressions each request has, int64 `[num_requests]`."""
        return np.diff(self.offsets)

    @property
    def users_of_shown(self) -> Index:
        """The user of each impression, int64 `[num_impressions]`."""
        return np.repeat(self.users, self.counts)

    @property
    def can_be_compared(self) -> bool:
        """Whether a user has both labels, without which there is no AUC by user."""
        users_of_labels = np.unique(np.stack([self.users_of_shown, self.clicked]), axis=1)[0]
        return len(np.unique(users_of_labels)) < len(users_of_labels)

    def batch(self, rows: slice | Index, max_length: int, *, keeps_oldest: bool = False, unknown: int = 0) -> Batch:
        """Cut `rows` as a batch, each history left-padded and cut to the newest `max_length` items, or the oldest.

        `unknown` is the index of an event whose item has none; by default it is padding.
        """
        users, stops = self.users[rows], self.targets[rows]
        starts = self.sequences.offsets[users]
        if keeps_oldest:
            stops = np.minimum(stops, starts + max_length)
        slots, real = slots_of(np.maximum(starts, stops - max_length), stops)
        items = self.sequences.items[slots]
        shown, is_shown = self.rectangle(rows)
        beside = self.sequences.beside_events(slots, real)
        return Batch(
            int64(np.where(real, np.where(items > 0, items, unknown), 0)),
            int64(self.context[rows]),
            int64(np.where(is_shown, self.shown[shown], 0)),
            tensors(beside | {name: values[rows] for name, values in self.beside.items()}),
            tensors({"labels": (self.clicked[shown] & is_shown).astype(np.float32)})["labels"],
        )

    def rectangle(self, rows: slice | Index) -> tuple[Index, NDArray[np.bool_]]:
        """Return positions in `shown`, a row a request, left-aligned, and a mask of those that are its own."""
        starts, counts = self.offsets[:-1][rows], self.counts[rows]
        places = np.arange(counts.max(initial=1))
        own = places < counts[:, None]
        return np.where(own, starts[:, None] + places, 0), own

    def subset(self, count: int, seed: int) -> Impressions:
        """Draw `count` users without replacement, and keep all their requests; all, if there are no more."""
        users = np.unique(self.users)
        if count >= len(users):
            return self
        chosen = np.random.default_rng(seed).choice(users, count, replace=False)
        return self.where(np.isin(self.users_of_shown, chosen))

    def where(self, kept: NDArray[np.bool_]) -> Impressions:
        """Keep some impressions, bool `[num_impressions]`, and the requests that have one."""
        counts = np.bincount(np.repeat(np.arange(len(self)), self.counts)[kept], minlength=len(self))
        rows = np.flatnonzero(counts)
        return Impressions(
            *(self.sequences, self.users[rows], self.targets[rows], self.context[rows]),
            {name: values[rows] for name, values in self.beside.items()},
            *(np.concatenate([[0], np.cumsum(counts[rows])]), self.shown[kept], self.clicked[kept]),
        )


@dataclass(frozen=True)
class ImpressionWindows:
    """Every request of the training, once an epoch, as a row of its own."""

    requests: Impressions
    max_length: int

    @property
    def num_examples(self) -> int:
        return len(self.requests.shown)

    @property
    def longest(self) -> int:
        """The impressions of the request that has most."""
        return int(self.requests.counts.max(initial=0))

    def epoch(
        self, rng: np.random.Generator, batch_events: int, event_dropout: float = 0.0, overlap: float = 0.0
    ) -> list[tuple[Index]]:
        """Draw the batches of one epoch, in random order; histories of a batch are alike in length. See `alike`.
        What was shown is learnt whole: `event_dropout` is 0. A request has its whole history: `overlap` says nothing.
        """
        assert not event_dropout
        lengths = np.minimum(self.requests.lengths, self.max_length)
        return [(rows,) for rows in alike(lengths, self.requests.counts, self.num_batches(batch_events), rng)]

    def num_batches(self, batch_events: int) -> int:
        """Count the batches of an epoch."""
        return batches_an_epoch(self.num_examples, batch_events)

    def batch(self, rows: Index) -> Batch:
        """Cut `rows` as a batch."""
        return self.requests.batch(rows, self.max_length)


Windows = TrainingWindows | ImpressionWindows
