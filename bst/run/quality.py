"""Quality: a model's metrics on held-out targets, beside those of counting alone by the same rule."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.config import TrainConfig
from bst.data.batches import Examples
from bst.data.impressions import Impressions
from bst.data.sequences import Sequences
from bst.data.split import Split
from bst.data.windows import TrainingWindows
from bst.errors import InputError
from bst.model import BST
from bst.training.baselines import Counts, Grouped, Rates, markov, markov_places, newest_items, popularity
from bst.training.click_metrics import ClickMetrics, candidate_scores, metrics_of
from bst.training.metrics import KS, RankingMetrics
from bst.training.task import shown_beside
from bst.training.world import World

# A context is suspicious if its value alone puts the target among the first ten this many times as often as popularity
# does, and for this many more users.
TELLING, TELLING_USERS = 3.0, 20
# How negatives are drawn, in words.
DRAWN = {"uniform": "drawn uniformly", "popularity": "drawn by popularity"}
LOGGED = "what was shown and not clicked"


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
class ClickQuality:
    """Metrics of a click model over test targets and the negatives beside them, or over the impressions of a log.

    Attributes:
        model: those of the model.
        baselines: `popularity` and `markov` (first order), counted in the training events: they give no probabilities.
            Of a log they are click rates of the training impressions, of an item and of an item after the last click.
        base_rate_log_loss: that of the share of positives as the probability of everything, in nats.
        unseen: share of targets (impressions) whose item is not trained on.
        negatives: how many stand beside each target, and how they are drawn; `LOGGED` of a log.
        unknown: targets (impressions) that are left out, because the model does not know their item.
        rule: which event of a user is the target.
    """

    model: ClickMetrics
    baselines: Mapping[str, ClickMetrics]
    base_rate_log_loss: float
    unseen: float
    negatives: str
    unknown: int
    rule: str

    @property
    def is_of_log(self) -> bool:
        return self.negatives == LOGGED

    def to_dict(self) -> dict[str, Any]:
        """Return the value of `test` in the last line of `metrics.jsonl`."""
        return {
            "model": self.model.to_dict(),
            **{name: metrics.to_dict() for name, metrics in self.baselines.items()},
            "base_rate_log_loss": self.base_rate_log_loss,
            "unseen": self.unseen,
            "negatives": self.negatives,
            "unknown": self.unknown,
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
        training = (self.popularity, self.sequences, self.split.train_stops)
        return {
            "popularity": self.popularity.places(examples, filter_seen=filter_seen),
            "markov": markov_places(*training, examples, filter_seen=filter_seen),
        }

    def unseen(self, examples: Examples) -> float:
        """Compute the share of the targets, or of the impressions, whose item was never trained on."""
        if isinstance(examples, Impressions):
            assert self.split.requests is not None
            trained_items = self.split.requests.shown
            return float(np.mean((examples.shown == 0) | ~np.isin(examples.shown, trained_items)))
        targets = examples.target_items
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

    def candidate_scores(self, shown: Impressions) -> dict[str, NDArray[np.float64]]:
        """Score all that was shown, by the name of the baseline: float64 `[num_impressions]`."""
        groups = np.repeat(newest_items(shown), shown.counts)
        none = np.zeros_like(groups)
        requests = self.split.requests
        if requests is None:
            return {
                "popularity": self.popularity.scores(shown.shown, none),
                "markov": self.markov.scores(shown.shown, groups),
            }
        return {
            "popularity": Rates.fit(requests, self.num_items).scores(shown.shown, none),
            "markov": Rates.fit(requests, self.num_items, newest_items(requests)).scores(shown.shown, groups),
        }

    def compare_clicks(
        self, model: BST, examples: Examples, training: TrainConfig, max_length: int, world: World
    ) -> ClickQuality:
        """Measure a click model on impressions, or on `examples` and drawn negatives, and put it beside the baselines.

        Raises:
            InputError: the model knows no item of the targets; of a log, those it knows have no user with both labels.
        """
        is_log = isinstance(examples, Impressions)
        targets = examples.shown if isinstance(examples, Impressions) else examples.sequences.items[examples.targets]
        known_targets = targets > 0
        if not known_targets.any():
            raise InputError(
                f"the model knows none of the {len(targets):,} targets; give events of items that it was trained on"
            )
        shown = self._shown(examples, known_targets, model, training, max_length)
        if not shown.can_be_compared:
            raise InputError(
                f"the model knows {len(shown.shown):,} of the {len(targets):,} impressions, and of no user a clicked "
                "one and another; give impressions of items that it was trained on"
            )
        scores = candidate_scores(model, shown, max_length, world=world)
        share = shown.clicked.mean()
        return ClickQuality(
            metrics_of(scores, shown, logits=True),
            {name: metrics_of(values, shown, logits=is_log) for name, values in self.candidate_scores(shown).items()},
            float(-share * np.log(share) - (1 - share) * np.log(1 - share)),
            self.unseen(examples),
            LOGGED if is_log else f"{training.negatives_per_event} {DRAWN[training.negatives]}",
            int((~known_targets).sum()),
            self.split.rule,
        )

    def _shown(
        self,
        examples: Examples,
        known_targets: NDArray[np.bool_],
        model: BST,
        training: TrainConfig,
        max_length: int,
    ) -> Impressions:
        """Return the impressions to be measured, those of targets that the model knows."""
        if isinstance(examples, Impressions):
            return examples.where(known_targets)
        kept = Examples(examples.sequences, examples.users[known_targets], examples.targets[known_targets])
        windows = TrainingWindows(self.sequences, self.split.train_stops, max_length)
        return shown_beside(model, kept, windows, training)

    def warn_of_telling_context(self, names: Sequence[str], of_events: Sequence[str]) -> None:
        """Warn of context `of_events` whose value alone predicts the item far better than popularity does.

        Args:
            names: all context features, in the model's order.
        """
        of_events = [name for name in of_events if name in names]
        if not of_events:
            return
        sequences, examples = self.sequences, self.split.validation
        groups = sequences.context_of(examples.users, examples.targets)
        popular = int((self.popularity.places(examples, filter_seen=False) <= 10).sum())
        for name in of_events:
            column = names.index(name)
            counts = Counts.fit(self._beside_context(column), self.num_items)
            hits_alone = int((counts.places(examples, filter_seen=False, groups=groups[:, column]) <= 10).sum())
            if hits_alone >= TELLING * popular and hits_alone - popular >= TELLING_USERS:
                shares = [f"{100 * hits / len(examples):.1f} %" for hits in (hits_alone, popular)]
                warnings.warn(
                    f"context feature {name!r} alone has {shares[0]} of the targets among its ten most frequent items, "
                    f"popularity {shares[1]}: it is taken from the event to be predicted; leave it out unless it is "
                    "known before that",
                    stacklevel=3,
                )

    def _beside_context(self, column: int) -> Iterator[Grouped]:
        """Yield the items of the training events, and a column of the context that each was chosen in."""
        sequences = self.sequences
        for events in sequences.before(self.split.train_stops):
            users = np.searchsorted(sequences.offsets, events, side="right") - 1
            yield sequences.items[events], sequences.context_of(users, events)[:, column]
