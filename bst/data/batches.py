"""The rectangles that a model reads, cut from flat histories by indexing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.data.sequences import Sequences, are_indices, ranges
from bst.data.vocabulary import Index
from bst.errors import InputError

PIECE = 4096  # examples of which whole histories are looked at together
STRETCH = 2**14  # examples among which those of like length are found; they lie near each other where they are stored


@dataclass(frozen=True)
class Batch:
    """Rows for the model, on the CPU.

    Attributes:
        items: int64 `[batch, length]`, padded on the left with 0.
        context: int64 `[batch, num_context]`; `[batch, length, num_context]` in training, one for each prefix.
        targets: int64 `[batch]`; `[batch, length]` in training, 0 where a slot is padding or predicts nothing; of
            impressions `[batch, n]`, what was shown in each request, 0 where that is less than in another.
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

    @property
    def lengths(self) -> Index:
        """The number of events before each target, int64 `[num_examples]`."""
        return self.targets - self.sequences.offsets[self.users]

    def batch(self, rows: slice | Index, max_length: int) -> Batch:
        """Cut `rows` as a batch, each history left-padded and cut to the newest `max_length` items."""
        users, targets = self.users[rows], self.targets[rows]
        starts = self.sequences.offsets[users]
        slots, real = slots_of(np.maximum(starts, targets - max_length), targets)
        items = np.where(real, self.sequences.items[slots], 0)
        batch = Batch(
            int64(items),
            int64(self.sequences.context_of(users, targets)),
            int64(self.sequences.items[targets]),
            tensors(self.sequences.beside_rows(slots, real, users, targets)),
        )
        self.sequences.release()
        return batch

    @property
    def target_items(self) -> NDArray[np.int32]:
        """The items to be predicted, int32 `[num_examples]`."""
        return self.sequences.items_at(self.targets)

    def seen(self, rows: slice | Index) -> tuple[Tensor, Tensor]:
        """List the items of the histories of `rows`, whole, as pairs (row within the batch, item index), both int64."""
        starts, stops = self.sequences.offsets[self.users[rows]], self.targets[rows]
        lengths = stops - starts
        items = self.sequences.items_at(ranges(starts, lengths))
        return int64(np.repeat(np.arange(len(lengths)), lengths)), int64(items)

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
        return self.at(np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False)))

    def at(self, rows: Index) -> Examples:
        """Return those of `rows`."""
        return Examples(self.sequences, self.users[rows], self.targets[rows])


def alike_in_length(lengths: Index, size: int, *, exactly: bool = False) -> list[Index]:
    """Part rows into batches of about the same length, so that little of them is padding.

    Args:
        lengths: of the histories, int64 `[num_rows]`.
        size: the most rows of a batch.
        exactly: whether all rows of a batch are of one length.

    Returns:
        the numbers of the rows of each batch.
    """
    stretch = np.arange(len(lengths)) // STRETCH
    order = np.lexsort((lengths, stretch))
    parts = [order]
    if exactly:
        parts = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    return [part[start : start + size] for part in parts for start in range(0, len(part), size)]


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


def slots_of(first: Index, last: Index) -> tuple[Index, NDArray[np.bool_]]:
    """Return the positions `[first, last)` of each row, right-aligned in a rectangle, and a mask of its real cells."""
    width = int((last - first).max(initial=1))
    slots = last[:, None] - np.arange(width, 0, -1)
    real = slots >= first[:, None]
    return np.where(real, slots, 0), real


def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(array)) if array.dtype.kind == "f" else int64(array)
        for name, array in arrays.items()
    }


def int64(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
