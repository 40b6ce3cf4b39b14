"""Baselines: rankings by counting alone, for a model to be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.data.batches import PIECE, Examples
from bst.data.impressions import Impressions
from bst.data.sequences import Sequences
from bst.data.vocabulary import Index
from bst.training.metrics import NOWHERE

Grouped = tuple[NDArray[np.int32], NDArray[np.int32]]  # items, and the group of each
PAIRS = 2**22  # events whose pairs are counted at a time
PRIOR = 10.0  # impressions that a click rate is drawn towards a wider one by


@dataclass(frozen=True)
class Counts:
    """Items by how often they came in a group, then by how often they came at all; equal ones share the worst place.

    With one group for everything it is the popularity ranking. Grouped by the item before, it is a first-order Markov
    chain that falls back to popularity.

    Attributes:
        popularity: int64 `[num_items]`, how often each item came, entry j is item j + 1.
        pairs: int64 `[num_pairs]`, ascending: group * (num_items + 1) + item index, each that came.
        strengths: int64 `[num_pairs]`, how often the pair came.
    """

    popularity: Index
    pairs: Index
    strengths: Index

    @classmethod
    def fit(cls, pieces: Iterable[Grouped], num_items: int) -> Counts:
        """Count items by their groups; a 0 in either is unknown and left out.

        Args:
            pieces: indices of items and their groups, int32 `[n]` both.
        """
        popularity = np.zeros(num_items + 1, dtype=np.int64)
        keys = [np.zeros(0, np.int64)]
        for items, groups in pieces:
            popularity += np.bincount(items, minlength=num_items + 1)
            valid = (items > 0) & (groups > 0)
            keys.append(groups[valid].astype(np.int64) * (num_items + 1) + items[valid])
        return cls(popularity[1:], *_counted(np.concatenate(keys)))

    def places(
        self, examples: Examples, *, filter_seen: bool, groups: NDArray[np.int32] | None = None
    ) -> NDArray[np.int64]:
        """Rank the whole catalogue for every example, by the rules of `bst.training.metrics.rank`.

        Args:
            groups: int32 `[len(examples)]`, the group of each; 0 where it is not known.

        Returns:
            int64 `[len(examples)]`: places from 1; `NOWHERE` for a target that is not known.
        """
        targets = examples.target_items.astype(np.int64)
        groups = np.zeros(len(targets), np.int32) if groups is None else groups
        own = self._scores(groups, targets)
        places = self._at_least(groups, targets, own)
        if filter_seen:
            for start in range(0, len(examples), PIECE):
                part = slice(start, start + PIECE)
                places[part] -= self._left_out(examples, part, groups[part], own[part])
        return np.where(targets > 0, places, NOWHERE)

    def scores(self, items: NDArray[np.int32], groups: NDArray[np.int32]) -> NDArray[np.float64]:
        """Score `items` from 1, each of a group, both `[n]`: float64 `[n]`."""
        return self._scores(groups, items.astype(np.int64)).astype(np.float64)

    def _scores(self, groups: NDArray[np.int32], items: Index) -> Index:
        """Score pairs by how often the pair came, and among equals by how often the item came."""
        popularity = self.popularity[np.maximum(items, 1) - 1]
        if not len(self.pairs):
            return popularity
        keys = groups.astype(np.int64) * (len(self.popularity) + 1) + items
        at = np.searchsorted(self.pairs, keys).clip(max=len(self.pairs) - 1)
        return np.where(self.pairs[at] == keys, self.strengths[at], 0) * self._unit + popularity

    @property
    def _unit(self) -> int:
        return int(self.popularity.max(initial=0)) + 1

    def _at_least(self, groups: NDArray[np.int32], targets: Index, own: Index) -> Index:
        """Count the items of the catalogue that score as much as the target or more, itself included."""
        width = len(self.popularity) + 1
        pair_groups, pair_items = self.pairs // width, self.pairs % width
        popularity = self.popularity[np.maximum(pair_items, 1) - 1]
        ahead = _count(pair_groups, self.strengths * self._unit + popularity, groups, own)
        # Items that never came in the group have only their popularity; the rest of them is counted already.
        of_all = len(self.popularity) - np.searchsorted(np.sort(self.popularity), own)
        of_pairs = _count(pair_groups, popularity, groups, own)
        return ahead + of_all - of_pairs

    def _left_out(self, examples: Examples, part: slice, groups: NDArray[np.int32], own: Index) -> Index:
        """Count the items of each history that score as much as the target or more, where they are left out."""
        row, item = (pair.numpy() for pair in examples.seen_to_leave_out(part))
        width = len(self.popularity) + 1
        pairs = np.unique(row * width + item)  # an item that comes twice is left out once
        row, item = pairs // width, pairs % width
        counted = self._scores(groups[row], item) >= own[row]
        return np.bincount(row[counted], minlength=len(own))


@dataclass(frozen=True)
class Rates:
    """Click rates of items, in all or by a group, as the logits of probabilities.

    A rate is drawn towards a wider one, as by `PRIOR` impressions: that of an item in a group towards that of the item,
    and that of an item towards that of all impressions.

    Attributes:
        logits: float64 `[num_items + 1]`, entry 0 is an item that is not known.
        pairs: int64 `[num_pairs]`, ascending: group * (num_items + 1) + item index, each that was shown.
        logits_of_pairs: float64 `[num_pairs]`.
    """

    logits: NDArray[np.float64]
    pairs: Index
    logits_of_pairs: NDArray[np.float64]

    @classmethod
    def fit(cls, shown: Impressions, num_items: int, groups: NDArray[np.int32] | None = None) -> Rates:
        """Count what was shown and clicked, by the `groups` of the requests, `[num_requests]`, if given."""
        overall = shown.clicked.mean()
        counts = np.bincount(shown.shown, minlength=num_items + 1)
        clicks = np.bincount(shown.shown, shown.clicked, minlength=num_items + 1)
        rates = np.where(np.arange(num_items + 1) > 0, _rates(clicks, counts, overall), overall)
        if groups is None:
            return cls(_logits(rates), np.zeros(0, np.int64), np.zeros(0))
        keys = np.repeat(groups.astype(np.int64), shown.counts) * (num_items + 1) + shown.shown
        pairs, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        clicks = np.bincount(places, shown.clicked, minlength=len(pairs))
        return cls(_logits(rates), pairs, _logits(_rates(clicks, counts, rates[pairs % (num_items + 1)])))

    def scores(self, items: NDArray[np.int32], groups: NDArray[np.int32]) -> NDArray[np.float64]:
        """Score `items`, each of a group, both `[n]`: logits, float64 `[n]`."""
        if not len(self.pairs):
            return self.logits[items]
        keys = groups.astype(np.int64) * len(self.logits) + items
        at = np.searchsorted(self.pairs, keys).clip(max=len(self.pairs) - 1)
        return np.where(self.pairs[at] == keys, self.logits_of_pairs[at], self.logits[items])


def _rates(clicks: Any, counts: Any, prior: Any) -> NDArray[np.float64]:
    return np.asarray((clicks + PRIOR * prior) / (counts + PRIOR), dtype=np.float64)


def _logits(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(rates / (1 - rates))


def popularity(sequences: Sequences, train_stops: Index, num_items: int) -> Counts:
    """Count the items that are trained on."""
    items = (sequences.items[events] for events in sequences.before(train_stops))
    return Counts.fit(((piece, np.zeros_like(piece)) for piece in items), num_items)


def markov(sequences: Sequences, train_stops: Index, num_items: int, befores: range | None = None) -> Counts:
    """Count which item follows which in what is trained on.

    Args:
        befores: count only what follows these items, indices from 1; all unless given.
    """

    def pairs() -> Iterator[Grouped]:
        for events in sequences.before(train_stops):
            before = sequences.items[np.maximum(events - 1, 0)]
            before[_firsts(events, sequences.offsets)] = 0
            if befores is not None:
                before[(before < befores.start) | (before >= befores.stop)] = 0
            yield sequences.items[events], before

    return Counts.fit(pairs(), num_items)


def markov_places(
    counts: Counts, sequences: Sequences, train_stops: Index, examples: Examples, *, filter_seen: bool
) -> NDArray[np.int64]:
    """Rank as `Counts.places` of `markov` does, and hold the pairs of about `PAIRS` events at a time.

    Args:
        counts: those of `popularity`.
    """
    before, num_items = newest_items(examples), len(counts.popularity)
    events = np.concatenate([[0], np.cumsum(counts.popularity)])
    levels = np.arange(PAIRS, events[-1] - PAIRS + 1, PAIRS)
    borders = np.unique(np.concatenate([[0], np.searchsorted(events, levels), [num_items]])) + 1
    places = np.zeros(len(examples), dtype=np.int64)
    for first, last in pairwise(borders):
        # An unknown item before is with the first.
        rows = np.flatnonzero((before >= first) & (before < last) | ((before == 0) & (first == 1)))
        chain = markov(sequences, train_stops, num_items, range(first, last))
        places[rows] = chain.places(examples.at(rows), filter_seen=filter_seen, groups=before[rows])
    return places


def newest_items(examples: Examples) -> NDArray[np.int32]:
    """Return the last item of each history, the group of `markov`: int32 `[len(examples)]`, 0 where there is none."""
    starts = examples.sequences.offsets[examples.users]
    return np.where(examples.targets > starts, examples.sequences.items_at(np.maximum(examples.targets - 1, 0)), 0)


def _firsts(events: Index, offsets: Index) -> Index:
    """Return where, in ascending positions of events, those stand that are the first of their user."""
    if not len(events):
        return np.zeros(0, dtype=np.int64)
    starts = offsets[np.searchsorted(offsets, events[0]) : np.searchsorted(offsets, events[-1], side="right")]
    places = np.searchsorted(events, starts)
    return places[events[places] == starts]


def _counted(keys: Index) -> tuple[Index, Index]:
    """Sort keys in place, and count each: the different ones, ascending, and how often they come, int64 both."""
    keys.sort()  # np.unique would hold them four times
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    firsts = np.flatnonzero(is_first)
    return keys[firsts], np.diff(firsts, append=len(keys))


def _count(groups: Index, scores: Index, queried: NDArray[np.int32], least: Index) -> Index:
    """Count the entries of a group that score `least` or more, for each queried group."""
    levels, ranks = np.unique(scores, return_inverse=True)
    width = len(levels) + 1
    keys = np.sort(groups * width + ranks)
    lowest = queried.astype(np.int64) * width
    return np.searchsorted(keys, lowest + width) - np.searchsorted(keys, lowest + np.searchsorted(levels, least))
