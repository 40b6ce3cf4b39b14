"""The rectangles that a model reads, cut from flat histories by indexing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.data.sequences import Sequences, are_indices
from bst.data.vocabulary import Index
from bst.errors import InputError

# MovieLens-1M at length 200, batches of 10 windows: 58 % of the cells are real in random order, 96 % with 16.
MIXED = 16
PIECE = 4096  # examples of which whole histories are looked at together


# Of windows: users, first and one past the last input position, and which of all events are kept, where some are not.
Windowed = tuple[Index, Index, Index, NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Batch:
    """Rows for the model, on the CPU.

    Attributes:
        items: int64 `[batch, length]`, padded on the left with 0.
        context: int64 `[batch, num_context]`; `[batch, length, num_context]` in training, one for each prefix.
        targets: int64 `[batch]`; `[batch, length]` in training, 0 where `items` is padding; of impressions `[batch,
            n]`, what was shown in each request, 0 where that is less than in another.
        beside: what else a model reads, by the names of `INPUT_GROUPS`; in training `numbers` are those of each prefix.
        labels: of impressions, float32 as `targets`: 1 where it was clicked.
    """

    items: Tensor
    context: Tensor
    targets: Tensor
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The arguments of the model by name."""
        return {"items": self.items, "context": self.context, **self.beside}

    @property
    def examples(self) -> dict[str, Tensor]:
        """The arguments of the loss by name."""
        return {**self.inputs, "targets": self.targets, **({} if self.labels is None else {"labels": self.labels})}

    def share(self, device: str, rank: int = 0, size: int = 1) -> Batch:
        """Return every `size`-th row, from `rank` on, on a device."""
        beside = {name: part[rank::size].to(device) for name, part in self.beside.items()}
        items, context, targets = (part[rank::size].to(device) for part in (self.items, self.context, self.targets))
        labels = None if self.labels is None else self.labels[rank::size].to(device)
        return Batch(items, context, targets, beside, labels)


@dataclass(frozen=True)
class Examples:
    """One prediction a row: the event at position `targets` of `sequences.items`, from all that its user did before.

    `users` and `targets` are int64 `[num_examples]`.
    """

    sequences: Sequences
    users: Index
    targets: Index

    def __len__(self) -> int:
        return len(self.users)

    def batch(self, rows: slice | Index, max_length: int) -> Batch:
        """Cut `rows` as a batch, each history left-padded and cut to the newest `max_length` items."""
        users, targets = self.users[rows], self.targets[rows]
        starts = self.sequences.offsets[users]
        slots, real = slots_of(np.maximum(starts, targets - max_length), targets)
        items = np.where(real, self.sequences.items[slots], 0)
        return Batch(
            int64(items),
            int64(self.sequences.context_of(users, targets)),
            int64(self.sequences.items[targets]),
            tensors(self.sequences.beside_rows(slots, real, users, targets)),
        )

    def seen(self, rows: slice | Index) -> tuple[Tensor, Tensor]:
        """List the items of the histories of `rows`, whole, as pairs (row within the batch, item index), both int64."""
        starts, stops = self.sequences.offsets[self.users[rows]], self.targets[rows]
        lengths = stops - starts
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = np.repeat(starts, lengths) + within
        return int64(np.repeat(np.arange(len(lengths)), lengths)), int64(self.sequences.items[events])

    def seen_to_leave_out(self, rows: slice | Index) -> tuple[Tensor, Tensor]:
        """List the items that a filter of seen items leaves out of the ranking of `rows`, as `seen` does.

        Nothing, where the target stands in its own history: leaving out the others would give it away.
        """
        row, item = self.seen(rows)
        stays = torch.from_numpy(self._returning(rows))[row]
        return row[~stays & (item > 0)], item[~stays & (item > 0)]

    def returning(self) -> NDArray[np.bool_]:
        """Mark the examples whose target stands in their own history too, bool `[num_examples]`."""
        pieces = [self._returning(slice(start, start + PIECE)) for start in range(0, len(self), PIECE)]
        return np.concatenate([np.zeros(0, np.bool_), *pieces])

    def _returning(self, rows: slice | Index) -> NDArray[np.bool_]:
        targets = self.sequences.items[self.targets[rows]]
        row, item = (part.numpy() for part in self.seen(rows))
        answer = np.zeros(len(targets), dtype=np.bool_)
        answer[row[(item == targets[row]) & (item > 0)]] = True
        return answer

    def subset(self, count: int, seed: int) -> Examples:
        """Draw `count` of them without replacement, in their order; all, if there are no more."""
        if count >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        return Examples(self.sequences, self.users[rows], self.targets[rows])


@dataclass(frozen=True)
class TrainingWindows:
    """Every event but the first of each user, once an epoch, as the target of the events before it.

    User u trains on `items[offsets[u] : stops[u]]`. A window is a run of at most `max_length` neighbouring inputs; all
    its prefixes are examples. Where a user has more than one window, the cuts move by chance from epoch to epoch, so
    that a target is not always the one with the short history.
    """

    sequences: Sequences
    stops: Index
    max_length: int

    @property
    def num_examples(self) -> int:
        return int(self._inputs().sum())

    @property
    def longest(self) -> int:
        """The events to predict of the window that has most."""
        return min(int(self._inputs().max(initial=0)), self.max_length)

    def item_counts(self, num_items: int) -> Index:
        """Count how often each item occurs in the training events, int64 `[num_items]`, entry j is item j + 1."""
        items = self.sequences.items[trained_on(self.sequences, self.stops)]
        return np.bincount(items, minlength=num_items + 1)[1:]

    def epoch(self, rng: np.random.Generator, batch_events: int, event_dropout: float = 0.0) -> list[Windowed]:
        """Draw the batches of one epoch, as arguments of `batch`.

        The order is random, but windows of a batch are alike in length: little of the rectangle that `batch` cuts is
        padding. See `alike` for how many there are. Of all events the share `event_dropout` is left out at random.
        """
        inputs, length = self._inputs(), self.max_length
        windows = self._windows()
        shift = rng.integers(0, windows * length - inputs + 1)
        users = np.repeat(np.arange(len(inputs)), windows)
        nth = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
        high = inputs[users] + shift[users] - nth * length
        starts = self.sequences.offsets[users]
        first, last = starts + np.maximum(high - length, 0), starts + np.minimum(high, inputs[users])
        batches = alike(last - first, last - first, batch_events, rng)
        kept = rng.random(len(self.sequences.items)) >= event_dropout if event_dropout else None
        return [(users[rows], first[rows], last[rows], kept) for rows in batches]

    def batch(self, users: Index, first: Index, last: Index, kept: NDArray[np.bool_] | None = None) -> Batch:
        """Cut windows `[first, last)` of `users` as a batch of inputs and, one event later, targets.

        Args:
            kept: bool `[num_events]`, the events that are there at all; each predicts the next one of these.
        """
        positions, there = slots_of(first, last + 1)  # the inputs and the last target
        if kept is not None:
            positions, there = _aligned(positions, there & kept[positions])
        slots, real, following = positions[:, :-1], there[:, :-1], positions[:, 1:]
        items = self.sequences.items
        context = self.sequences.context_of(users[:, None], following)
        context = np.broadcast_to(context, (*slots.shape, context.shape[-1]))
        beside = self.sequences.beside_rows(slots, real, users, following[:, -1])
        if "numbers" in beside:
            numbers = self.sequences.numbers_of(users[:, None], following)
            beside["numbers"] = np.broadcast_to(numbers, (*slots.shape, numbers.shape[-1])).copy()
        return Batch(
            int64(np.where(real, items[slots], 0)),
            int64(context),
            int64(np.where(real, items[following], 0)),
            tensors(beside),
        )

    def _windows(self) -> Index:
        return -(-self._inputs() // self.max_length)

    def _inputs(self) -> Index:
        return np.maximum(self.stops - self.sequences.offsets[:-1] - 1, 0)


def trained_on(sequences: Sequences, train_stops: Index) -> NDArray[np.bool_]:
    """Mark the events before the stop of their user, bool `[num_events]`."""
    change = np.zeros(len(sequences.items) + 1, np.int64)
    np.add.at(change, sequences.offsets[:-1], 1)
    np.add.at(change, train_stops, -1)
    return np.cumsum(change[:-1]) > 0


def left_pad(histories: Sequence[Sequence[int]], max_length: int) -> Tensor:
    """Make the rows that `BST` reads from histories of item indices (lists, tuples, arrays or tensors).

    Each is cut to its newest `max_length` and padded on the left with 0 to the longest of them (at least 1)::

        [[5, 2, 9], [7]]  ->  [[5, 2, 9],
                               [0, 0, 7]]

    Returns int64 `[len(histories), length]`; the histories themselves are left as they are.

    Raises:
        InputError: `max_length` is below 1, or a history is not one row of whole numbers.
    """
    if max_length < 1:
        raise InputError(f"max_length={max_length}; give 1 or more")
    rows = [np.asarray(history) for history in histories]
    for place, row in enumerate(rows):
        if row.ndim != 1 or (len(row) and not are_indices(row, lowest=0)):
            raise InputError(f"history {place} is {row.tolist()!r}, not one row of item indices")
    rows = [row[-max_length:] for row in rows]
    padded = np.zeros((len(rows), max((len(row) for row in rows), default=1) or 1), dtype=np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[len(line) - len(row) :] = row
    return torch.from_numpy(padded)


def batches_an_epoch(num_events: int, batch_events: int) -> int:
    """Count the batches of `batch_events` or a little more that `num_events` are parted into, at least one."""
    return max(num_events // batch_events, 1)


def alike(lengths: Index, events: Index, batch_events: int, rng: np.random.Generator) -> list[Index]:
    """Part rows at random into `batches_an_epoch` batches of about as many events, whose rows are alike in length.

    Rows are sorted by length within pieces of up to `MIXED` batches. A batch has at least one row for each time that
    the events of the largest row go into `batch_events`.

    Args:
        lengths: of the histories of the rows, int64 `[n]`.
        events: what each row counts for, int64 `[n]`, from 1.

    Returns:
        the numbers of the rows of each batch.
    """
    num_batches = batches_an_epoch(int(events.sum()), batch_events)
    width = events.sum() / num_batches
    order = rng.permutation(len(lengths))
    # At least two pieces, or the shortest would meet in every epoch.
    piece = _starts(events[order]) // (min(MIXED, max(num_batches // 2, 1)) * width)
    order = order[np.lexsort((lengths[order], piece))]
    batch = np.minimum(_starts(events[order]) // width, num_batches - 1)
    parts = np.split(order, np.searchsorted(batch, np.arange(1, num_batches)))
    return [parts[place] for place in rng.permutation(num_batches)]


def _starts(counts: Index) -> Index:
    starts: Index = np.cumsum(counts) - counts
    return starts


def slots_of(first: Index, last: Index) -> tuple[Index, NDArray[np.bool_]]:
    """Return the positions `[first, last)` of each row, right-aligned in a rectangle, and a mask of its real cells."""
    width = int((last - first).max(initial=1))
    slots = last[:, None] - np.arange(width, 0, -1)
    real = slots >= first[:, None]
    return np.where(real, slots, 0), real


def _aligned(slots: Index, kept: NDArray[np.bool_]) -> tuple[Index, NDArray[np.bool_]]:
    """Move the slots that are kept to the right, in their order, and cut what no row needs, to two columns at least."""
    order = np.argsort(kept, axis=1, kind="stable")
    width = max(int(kept.sum(axis=1).max(initial=0)), 2)
    slots, kept = (np.take_along_axis(part, order, axis=1)[:, -width:] for part in (np.where(kept, slots, 0), kept))
    return slots, kept


def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(array)) if array.dtype.kind == "f" else int64(array)
        for name, array in arrays.items()
    }


def int64(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
