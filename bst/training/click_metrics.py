"""Metrics of probabilities: how well they part what was clicked from what was not, and whether they are true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bst.data.batches import alike_in_length
from bst.data.impressions import Impressions
from bst.errors import InputError
from bst.model import BST, ClickBST
from bst.training.world import World

BUCKETS = 10
LEAST = 1e-7  # a probability of 0 or 1 has no finite logarithm
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClickMetrics:
    """Means over candidates, which were clicked (1) or not (0).

    Attributes:
        auc: the share of pairs of a clicked and another candidate in which the clicked one scores more; equal scores
            count half.
        grouped_auc: the mean of that of each user, weighted by the user's candidates (Zhu et al., 2018); users whose
            candidates are all alike are left out.
        log_loss: binary cross-entropy in nats; None where there are no probabilities, as of a count.
        calibration: for ten buckets of as many candidates each, by rising probability: the mean probability, the share
            that was clicked, and how many there are.
        num_users, num_candidates: how many were measured.
    """

    auc: float
    grouped_auc: float
    log_loss: float | None
    calibration: tuple[tuple[float, float, int], ...]
    num_users: int
    num_candidates: int

    @classmethod
    def measure(cls, scores: Floats, labels: NDArray[np.bool_], users: NDArray[np.int64], *, logits: bool) -> Self:
        """Compute the metrics of candidates, all `[n]`: their scores, whether each was clicked, and its user.

        Args:
            logits: the scores are logits of probabilities; else they only rank.
        """
        log_loss: float | None = None
        calibration: tuple[tuple[float, float, int], ...] = ()
        if logits:
            chances = np.clip(1 / (1 + np.exp(-np.clip(scores, -700, 700))), LEAST, 1 - LEAST)
            log_loss = float(-np.where(labels, np.log(chances), np.log1p(-chances)).mean())
            calibration = _calibration(chances, labels)
        grouped = grouped_auc(scores, labels, users)
        auc = grouped_auc(scores, labels, np.zeros_like(users))
        return cls(auc, grouped, log_loss, calibration, len(np.unique(users)), len(scores))

    @property
    def headline(self) -> float:
        """The number by which the best epoch is chosen."""
        return self.auc

    def shown(self) -> dict[str, float]:
        """Return the numbers of an epoch for people."""
        return {
            "AUC": self.auc,
            "GAUC": self.grouped_auc,
            "log loss": float("nan" if self.log_loss is None else self.log_loss),
        }

    def scalars(self) -> dict[str, float]:
        """Return the numbers that are drawn as curves."""
        curves = {"auc": self.auc, "grouped_auc": self.grouped_auc}
        return curves if self.log_loss is None else {**curves, "log_loss": self.log_loss}

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics by name, for JSON."""
        counts = {"num_users": self.num_users, "num_candidates": self.num_candidates}
        return {**self.scalars(), "calibration": [list(bucket) for bucket in self.calibration], **counts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` gave, or raise a `ValueError`, `KeyError` or `TypeError`."""
        buckets = tuple((float(mean), float(share), int(count)) for mean, share, count in values["calibration"])
        loss = values.get("log_loss")
        counts = (int(values[name]) for name in ("num_users", "num_candidates"))
        return cls(
            float(values["auc"]), float(values["grouped_auc"]), None if loss is None else float(loss), buckets, *counts
        )


def grouped_auc(scores: Floats, labels: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """Compute the mean over groups of the area under the ROC curve, weighted by their sizes; NaN where no group has
    both labels. All are `[n]`.

    Of a group it is `(R - P (P + 1) / 2) / (P N)` with the sum R of the ranks of its P positives among its P + N scores
    (Mann & Whitney, 1947); equal scores share the mean of their ranks.
    """
    order = np.lexsort((scores, groups))
    scores, labels, groups = scores[order], labels[order], groups[order]
    group_starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    tied = np.diff(scores, prepend=np.nan) == 0
    tied[group_starts] = False
    tie_starts = np.flatnonzero(~tied)
    sizes = np.diff(tie_starts, append=len(scores))
    places = np.arange(len(scores)) - np.repeat(group_starts, np.diff(group_starts, append=len(scores))) + 1.0
    ranks = np.repeat(places[tie_starts] + (sizes - 1) / 2, sizes)
    positives = np.add.reduceat(labels.astype(np.float64), group_starts)
    counts = np.diff(group_starts, append=len(scores)).astype(np.float64)
    rank_sums = np.add.reduceat(np.where(labels, ranks, 0.0), group_starts)
    both = (positives > 0) & (positives < counts)
    if not both.any():
        return float("nan")
    pairs = positives[both] * (counts - positives)[both]
    areas = (rank_sums[both] - positives[both] * (positives[both] + 1) / 2) / pairs
    return float(np.average(areas, weights=counts[both]))


def _calibration(chances: Floats, labels: NDArray[np.bool_]) -> tuple[tuple[float, float, int], ...]:
    order = np.argsort(chances, kind="stable")
    buckets = (part for part in np.array_split(order, BUCKETS) if len(part))
    return tuple((float(chances[part].mean()), float(labels[part].mean()), len(part)) for part in buckets)


@torch.inference_mode()
def candidate_scores(
    model: BST, shown: Impressions, max_length: int, *, world: World | None = None, batch_size: int = 512
) -> Floats:
    """Score all that was shown: logits, float64 `[num_impressions]`.

    The model is put in evaluation mode for the time being and back afterwards. The processes of `world` share the work,
    and each gets all scores.

    Raises:
        InputError: the model reads features of candidates or other sequences, of which impressions say nothing.
    """
    assert isinstance(model, ClickBST)
    has_features = model.candidate_feature_embedding is not None
    if has_features or model.sequence_names:
        unheard = (
            "a feature of each candidate" if has_features else f"{', '.join(model.sequence_names)} beside the history"
        )
        raise InputError(
            f"the model reads {unheard}, of which a table of events says nothing; export the run, and score candidates "
            "with open_bundle(BUNDLE).scorer()"
        )
    world = world or World()
    was_training = model.training
    model.eval()
    scores = torch.zeros(len(shown.shown), dtype=torch.float64, device=world.device)
    for rows in alike_in_length(np.minimum(shown.lengths, max_length), batch_size)[world.rank :: world.size]:
        batch = shown.batch(rows, max_length, keeps_oldest=model.keeps_oldest, unknown=model.unknown_row)
        batch = batch.share(world.device)
        places, is_shown = (torch.from_numpy(part).to(world.device) for part in shown.rectangle(rows))
        logits = model(candidates=batch.targets, **batch.inputs)
        scores[places[is_shown]] = logits.double()[is_shown]
    model.train(was_training)
    return world.sum(scores).cpu().numpy()


def metrics_of(scores: Floats, shown: Impressions, *, logits: bool) -> ClickMetrics:
    """Compute the metrics of the scores of all that was shown, `[num_impressions]`."""
    return ClickMetrics.measure(scores, shown.clicked, shown.users_of_shown, logits=logits)
