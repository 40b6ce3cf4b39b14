"""Quality: a model's metrics on held-out targets, beside those of counting alone by the same rule."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.data.batches import Examples, trained_on
from bst.data.sequences import Sequences
from bst.data.split import Split
from bst.training.baselines import Counts, markov, newest_items, popularity
from bst.training.metrics import KS, RankingMetrics

# A context is suspicious if its value alone puts the target among the first ten this many times as often as popularity
# does, and for this many more users.
TELLING, TELLING_USERS = 3.0, 20


@dataclass(frozen=True)
class Quality:
    """Metrics of a ranking over test targets.

    Attributes:
        model: those of the model.
        baselines: `popularity` and `markov` (first order), counted in the training events.
        unseen: share of targets whose item is not trained on.
        filter_seen: whether items of the history are left out of each ranking, unless the target is one of them.
        rule: which event of a user is the target.
    """

    model: RankingMetrics
    baselines: Mapping[str, RankingMetrics]
    unseen: float
    filter_seen: bool
    rule: str

    def to_dict(self) -> dict[str, Any]:
        """Return the value of `test` in the last line of `metrics.jsonl`."""
        return {
            "model": self.model.to_dict(),
            **{name: metrics.to_dict() for name, metrics in self.baselines.items()},
            "unseen": self.unseen,
            "filter_seen": self.filter_seen,
            "rule": self.rule,
        }


@dataclass(frozen=True)
class Baselines:
    """Rankings by counting alone, over the training events."""

    sequences: Sequences
    split: Split
    num_items: int

    @cached_property
    def popularity(self) -> Counts:
        return popularity(self.sequences, self.split.train_stops, self.num_items)

    @cached_property
    def markov(self) -> Counts:
        return markov(self.sequences, self.split.train_stops, self.num_items)

    def places(self, examples: Examples, *, filter_seen: bool) -> dict[str, NDArray[np.int64]]:
        """Rank for every example: places of the targets, int64 `[len(examples)]`, by the name of the baseline."""
        before = newest_items(examples)
        return {
            "popularity": self.popularity.places(examples, filter_seen=filter_seen),
            "markov": self.markov.places(examples, filter_seen=filter_seen, groups=before),
        }

    def unseen(self, examples: Examples) -> float:
        """Compute the share of the targets that were never trained on."""
        targets = examples.sequences.items[examples.targets]
        return float(np.mean((targets == 0) | (self.popularity.popularity[np.maximum(targets, 1) - 1] == 0)))

    def compare(
        self, places: NDArray[np.int64], examples: Examples, *, filter_seen: bool, ks: Sequence[int] = KS
    ) -> Quality:
        """Put a model's `places` for `examples` beside the baselines."""
        others = self.places(examples, filter_seen=filter_seen)
        return Quality(
            RankingMetrics.from_places(places, ks),
            {name: RankingMetrics.from_places(values, ks) for name, values in others.items()},
            self.unseen(examples),
            filter_seen,
            self.split.rule,
        )

    def warn_of_telling_context(self, names: Sequence[str], of_events: Sequence[str]) -> None:
        """Warn of context `of_events` whose value alone predicts the item far better than popularity does.

        Args:
            names: all context features, in the model's order.
        """
        of_events = [name for name in of_events if name in names]
        if not of_events:
            return
        sequences, examples = self.sequences, self.split.validation
        events = np.flatnonzero(trained_on(sequences, self.split.train_stops))
        users = np.searchsorted(sequences.offsets, events, side="right") - 1
        values, groups = sequences.context_of(users, events), sequences.context_of(examples.users, examples.targets)
        popular = int((self.popularity.places(examples, filter_seen=False) <= 10).sum())
        for name in of_events:
            column = names.index(name)
            counts = Counts.fit(sequences.items[events], self.num_items, values[:, column])
            hits_alone = int((counts.places(examples, filter_seen=False, groups=groups[:, column]) <= 10).sum())
            if hits_alone >= TELLING * popular and hits_alone - popular >= TELLING_USERS:
                shares = [f"{100 * hits / len(examples):.1f} %" for hits in (hits_alone, popular)]
                warnings.warn(
                    f"context feature {name!r} alone has {shares[0]} of the targets among its ten most frequent items, "
                    f"popularity {shares[1]}: it is taken from the event to be predicted; leave it out unless it is "
                    "known before that",
                    stacklevel=3,
                )
