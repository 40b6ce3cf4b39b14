"""The training examples of one epoch: windows of histories, in batches alike in length and in random order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from bst.data.batches import Batch, int64, slots_of, tensors
from bst.data.sequences import Sequences, ranges
from bst.data.vocabulary import Index

# MovieLens-1M at length 200, batches of 10 windows: 58 % of the cells are real in random order, 96 % with 16.
MIXED = 16
# oneDNN compiles a kernel for each new shape of a product in bfloat16, which takes longer than the product. With few
# numbers of rows most shapes have been there before.
STEPS_A_BATCH = 8
GROUP = 4  # shards whose windows are shuffled together


class Windowed(NamedTuple):
    """The windows of a batch, int64 `[n]` each.

    Attributes:
        users: whose histories they are of.
        first, last: of each the first position that is read, and one past the last.
        predicting: the first position that predicts the one after it; those before it are context alone.
        kept: bool `[num_events]`, which of all events are there at all; None where all are.
    """

    users: Index
    first: Index
    last: Index
    predicting: Index
    kept: NDArray[np.bool_] | None

    def at(self, rows: Index | NDArray[np.bool_]) -> Windowed:
        """Return those of `rows`."""
        return Windowed(self.users[rows], self.first[rows], self.last[rows], self.predicting[rows], self.kept)


@dataclass(frozen=True)
class TrainingWindows:
    """Every event but the first of each user, once an epoch, as the target of the events before it.

    User u trains on `items[offsets[u] : stops[u]]`. A window is a run of at most `max_length` neighbouring inputs; its
    prefixes are examples, but for those of the part that it has in common with the window before it. Where a user has
    more than one window, the cuts move by chance from epoch to epoch, so that a target is not always the one with the
    short history.
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
        counts = np.zeros(num_items + 1, dtype=np.int64)
        for events in self.sequences.before(self.stops):
            counts += np.bincount(self.sequences.items[events], minlength=num_items + 1)
        return counts[1:]

    def epoch(
        self, rng: np.random.Generator, batch_events: int, event_dropout: float = 0.0, overlap: float = 0.0
    ) -> Epoch:
        """Draw the batches of one epoch, as arguments of `batch`.

        Neighbouring windows have the share `overlap` of `max_length` in common, so that every target but those of the
        oldest `max_length` events has at least so much of its history before it.

        The order is random, but windows of a batch are alike in length: little of the rectangle that `batch` cuts is
        padding. There are `num_batches`. Of all events the share `event_dropout` is left out at random.

        Of more than `GROUP` shards (see `Sequences.shards`) the order is random in two levels, so that memory holds the
        windows of a group alone: that of the shards, and that of the windows within each `GROUP` of them.
        """
        borders, events = self._shards()
        shards = np.flatnonzero(events)
        if len(shards) > GROUP:
            shards = rng.permutation(shards)
        groups = [shards[start : start + GROUP] for start in range(0, max(len(shards), 1), GROUP)]
        counts = np.array([batches_an_epoch(int(events[group].sum()), batch_events) for group in groups])
        for _ in range(counts.sum() - self.num_batches(batch_events)):
            counts[counts.argmax()] -= 1
        seeds = rng.integers(2**63, size=len(groups) if len(groups) > 1 else 0)

        def draw(group: int) -> list[Windowed]:
            own = np.random.default_rng(seeds[group]) if len(seeds) else rng
            return self._drawn(borders, groups[group], int(counts[group]), own, event_dropout, overlap)

        return Epoch(np.cumsum(counts), draw)

    def num_batches(self, batch_events: int) -> int:
        """Count the batches of an epoch, which is the same in all of them.

        Of several groups it is a few less than `batches_an_epoch`: a batch has events of one group alone, and has at
        least `batch_events` unless its group has fewer.
        """
        _, events = self._shards()
        groups = max(-(-int(np.count_nonzero(events)) // GROUP), 1)
        return max(batches_an_epoch(self.num_examples, batch_events) - (groups - 1), groups)

    def _shards(self) -> tuple[Index, Index]:
        """Return the borders of the shards, and how many events to predict each has, int64 `[num_shards]`."""
        borders, inputs = self.sequences.shards, self._inputs()
        return borders, np.array([inputs[first:last].sum() for first, last in pairwise(borders)], dtype=np.int64)

    def _drawn(
        self,
        borders: Index,
        shards: Index,
        num_batches: int,
        rng: np.random.Generator,
        event_dropout: float,
        overlap: float,
    ) -> list[Windowed]:
        """Part the windows of the users of `shards` into batches."""
        stretches = [slice(*borders[shard : shard + 2]) for shard in shards]
        windows = self._cut(np.concatenate([np.arange(part.start, part.stop) for part in stretches]), rng, overlap)
        to_read, to_predict = windows.last - windows.first, windows.last - windows.predicting
        if event_dropout:
            kept = np.zeros(len(self.sequences.items), dtype=np.bool_)  # memory holds only what is written
            for part in stretches:
                events = slice(*self.sequences.offsets[[part.start, part.stop]])
                kept[events] = rng.random(events.stop - events.start) >= event_dropout
                kept_before = np.concatenate(([0], np.cumsum(kept[events])))
                of_part = (windows.users >= part.start) & (windows.users < part.stop)
                stop = kept_before[windows.last[of_part] + 1 - events.start] - 1
                to_read[of_part] = stop - kept_before[windows.first[of_part] - events.start]
                to_predict[of_part] = stop - kept_before[windows.predicting[of_part] - events.start]
            windows = windows._replace(kept=kept)
            left = to_predict > 0
            if np.count_nonzero(left) >= num_batches:
                windows, to_read, to_predict = windows.at(left), to_read[left], to_predict[left]
            to_predict = np.maximum(to_predict, 1)
        return [windows.at(rows) for rows in alike(to_read, to_predict, num_batches, rng)]

    def _cut(self, users: Index, rng: np.random.Generator, overlap: float) -> Windowed:
        """Cut the histories of `users` into windows."""
        inputs, length = self._inputs()[users], self.max_length
        step = length - min(int(overlap * length), length - 1)
        further = -(-np.maximum(inputs - length, 0) // step)  # windows beside the oldest one
        windows = further + (inputs > 0)
        shift = rng.integers(0, length * (inputs > 0) + further * step - inputs + 1)
        rows = np.repeat(np.arange(len(inputs)), windows)
        nth = ranges(np.zeros_like(windows), windows)  # from the newest
        high = inputs[rows] + shift[rows] - nth * step
        starts, oldest = self.sequences.offsets[users][rows], nth + 1 == windows[rows]
        return Windowed(
            users=users[rows],
            first=starts + np.maximum(high - length, 0),
            last=starts + np.minimum(high, inputs[rows]),
            predicting=starts + np.where(oldest, 0, high - step),
            kept=None,
        )

    def batch(
        self,
        users: Index,
        first: Index,
        last: Index,
        predicting: Index | None = None,
        kept: NDArray[np.bool_] | None = None,
    ) -> Batch:
        """Cut windows `[first, last)` of `users` as a batch of inputs and, one event later, targets.

        The arguments are those of `Windowed`. Without `predicting` all positions predict, and with `kept` each the next
        one of those that are kept.
        """
        positions, there = slots_of(first, last + 1)  # the inputs and the last target
        if kept is not None:
            positions, there = _aligned(positions, there & kept[positions])
        slots, real, following = positions[:, :-1], there[:, :-1], positions[:, 1:]
        predicts = real if predicting is None else real & (slots >= predicting[:, None])
        items = self.sequences.items
        context = self.sequences.context_of(users[:, None], following)
        context = np.broadcast_to(context, (*slots.shape, context.shape[-1]))
        beside = self.sequences.beside_rows(slots, real, users, following[:, -1])
        if "numbers" in beside:
            numbers = self.sequences.numbers_of(users[:, None], following)
            beside["numbers"] = np.broadcast_to(numbers, (*slots.shape, numbers.shape[-1])).copy()
        batch = Batch(
            int64(np.where(real, items[slots], 0)),
            int64(context),
            int64(np.where(predicts, items[following], 0)),
            tensors(beside),
        )
        self.sequences.release()
        return batch

    def _inputs(self) -> Index:
        return np.maximum(self.stops - self.sequences.offsets[:-1] - 1, 0)


class Epoch(Sequence[Windowed]):
    """The batches of one epoch, drawn a group at a time.

    Args:
        stops: one past the last batch of each group, int64 `[num_groups]`.
        draw: draws the batches of a group.
    """

    def __init__(self, stops: Index, draw: Callable[[int], list[Windowed]]) -> None:
        self.stops, self.draw = stops, draw
        self.group, self.batches = 0, draw(0)

    def __len__(self) -> int:
        return int(self.stops[-1])

    @overload
    def __getitem__(self, place: int) -> Windowed: ...
    @overload
    def __getitem__(self, place: slice) -> list[Windowed]: ...
    def __getitem__(self, place: int | slice) -> Windowed | list[Windowed]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        group = int(np.searchsorted(self.stops, place, side="right"))
        if group != self.group:
            self.batches = []  # before others are drawn
            self.group, self.batches = group, self.draw(group)
        return self.batches[place - (int(self.stops[group - 1]) if group else 0)]


def batches_an_epoch(num_events: int, batch_events: int) -> int:
    """Count the batches of `batch_events` or a little more that `num_events` are parted into, at least one."""
    return max(num_events // batch_events, 1)


def alike(lengths: Index, events: Index, num_batches: int, rng: np.random.Generator) -> list[Index]:
    """Part rows at random into batches of about as many events, whose rows are alike in length.

    Rows are sorted by length within pieces of up to `MIXED` batches. A batch has at least one row for each time that
    the events of the largest row go into those of a batch, or an eighth fewer where that is 16 rows or more.

    Args:
        lengths: of the histories of the rows, int64 `[n]`.
        events: what each row counts for, int64 `[n]`, from 1.

    Returns:
        the numbers of the rows of each batch.
    """
    width = events.sum() / num_batches
    order = rng.permutation(len(lengths))
    # At least two pieces, or the shortest would meet in every epoch.
    piece = _starts(events[order]) // (min(MIXED, max(num_batches // 2, 1)) * width)
    by_length = np.lexsort((lengths[order], piece))
    order, piece = order[by_length], piece[by_length]
    batch = np.minimum(_starts(events[order]) // width, num_batches - 1)
    cuts = np.searchsorted(batch, np.arange(1, num_batches))
    origins = np.searchsorted(piece, piece[np.minimum(cuts, len(order) - 1)])
    parts = np.split(order, _in_few_sizes(cuts, origins, len(order)))
    return [parts[place] for place in rng.permutation(num_batches)]


def _in_few_sizes(cuts: Index, origins: Index, num_rows: int) -> Index:
    """Move cuts between batches a little, so that the numbers of rows of batches are few: multiples of a power of 2.

    A batch keeps seven eighths of its rows or more. A cut that is an origin, from which rows are counted, stays.
    """
    counts = np.diff(cuts, prepend=0, append=num_rows)
    fewest = np.minimum(counts[1:], counts[:-1])
    steps = 2 ** np.log2(np.maximum(fewest / STEPS_A_BATCH, 1)).astype(np.int64)
    moved: Index = origins + np.rint((cuts - origins) / steps).astype(np.int64) * steps
    return moved


def _starts(counts: Index) -> Index:
    starts: Index = np.cumsum(counts) - counts
    return starts


def _aligned(slots: Index, kept: NDArray[np.bool_]) -> tuple[Index, NDArray[np.bool_]]:
    """Move the slots that are kept to the right, in their order, and cut what no row needs, to two columns at least."""
    order = np.argsort(kept, axis=1, kind="stable")
    width = max(int(kept.sum(axis=1).max(initial=0)), 2)
    slots, kept = (np.take_along_axis(part, order, axis=1)[:, -width:] for part in (np.where(kept, slots, 0), kept))
    return slots, kept
