"""Metrics of a ranking: the target's place among all items of the catalogue, and what is read off it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.data.batches import Examples
from bst.model import BST
from bst.training.world import World


@dataclass(frozen=True)
class RankingMetrics:
    """Means over users. With one target a user, HR@k equals recall@k, and NDCG@k is 1 / log2(1 + place) up to k.

    Attributes:
        hr_10, hr_5, hr_1: share of users whose target is among the first k.
        ndcg_10, ndcg_5: Järvelin & Kekäläinen (2002) for one relevant item.
        mrr: mean of 1 / place.
        num_users: how many users the means are over.
    """

    hr_10: float
    ndcg_10: float
    hr_5: float
    ndcg_5: float
    hr_1: float
    mrr: float
    num_users: int

    @classmethod
    def from_places(cls, places: NDArray[np.int64]) -> RankingMetrics:
        """Read the metrics off the targets' places, int64 `[num_users]` from 1 (best)."""
        gains = 1.0 / np.log2(1.0 + places)
        return cls(
            hr_10=float(np.mean(places <= 10)),
            ndcg_10=float(np.mean(gains * (places <= 10))),
            hr_5=float(np.mean(places <= 5)),
            ndcg_5=float(np.mean(gains * (places <= 5))),
            hr_1=float(np.mean(places <= 1)),
            mrr=float(np.mean(1.0 / places)),
            num_users=len(places),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def places_of(scores: Tensor, targets: Tensor) -> Tensor:
    """Place of each row's target among all its scores, from 1; an equal score counts as ahead of the target.

    Args:
        scores: float `[batch, num_items]`, column j is item j + 1; -inf leaves an item out.
        targets: int64 `[batch]`; 0 is an item that the model does not know, and comes after all that it knows.

    Returns:
        int64 `[batch]`. A model that gives all items the same score, or NaN, gets the last place, not the first.
    """
    own = scores.gather(1, (targets - 1).clamp(min=0).unsqueeze(1))
    return torch.where(targets > 0, (~(scores < own)).sum(dim=1), scores.size(1) + 1)


@torch.inference_mode()
def evaluate(
    model: BST,
    examples: Examples,
    max_length: int,
    *,
    filter_seen: bool,
    world: World | None = None,
    batch_size: int = 512,
) -> RankingMetrics:
    """Rank the whole catalogue for every example and measure where its target came.

    With `filter_seen`, items of the user's whole history are left out, except the target itself. The model is put in
    evaluation mode for the time being and back afterwards. The processes of `world` share the work, and each gets the
    same metrics.
    """
    world = world or World()
    device = world.device
    was_training = model.training
    model.eval()
    places = torch.zeros(len(examples), dtype=torch.int64, device=device)
    for rows in list(_chunks(len(examples), batch_size))[world.rank :: world.size]:
        batch = examples.batch(rows, max_length)
        targets = batch.targets.to(device)
        scores = model.item_scores(model.user_vectors(batch.items.to(device), batch.context.to(device)))
        if filter_seen:
            row, item = (part.to(device) for part in examples.seen(rows))
            known = (item > 0) & (item != targets[row])
            scores[row[known], item[known] - 1] = -torch.inf
        places[rows] = places_of(scores, targets)
    model.train(was_training)
    return RankingMetrics.from_places(world.sum(places).cpu().numpy())


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
