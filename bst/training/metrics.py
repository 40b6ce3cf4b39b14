"""Metrics of a ranking: the target's place among all items of the catalogue, and the means computed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.config import RETURNING
from bst.data.batches import Examples, alike_in_length
from bst.model import BST
from bst.training.world import World

KS = (1, 5, 10)  # the k of every report
NOWHERE = 2**62  # the place of an item that the model does not know: beyond every k

# The number of scores in memory at once: the memory of a ranking does not grow with the catalogue, up to
# SCORES / FEWEST items. With fewer rows than four, a matrix product rounds otherwise on some CPUs.
SCORES = 2**25
FEWEST = 8
SCORE_BYTES = 8 * SCORES  # the scores, and their comparison


@dataclass(frozen=True)
class RankingMetrics:
    """Means over users. With one target a user, HR@k equals recall@k, and NDCG@k is 1 / log2(1 + place) up to k.

    Attributes:
        hr: by k, the share of users whose target is among the first k.
        ndcg: by k, Järvelin & Kekäläinen (2002) for one relevant item.
        mrr: mean of 1 / place.
        num_users: the number of users.
    """

    hr: Mapping[int, float]
    ndcg: Mapping[int, float]
    mrr: float
    num_users: int

    @property
    def headline(self) -> float:
        """The number by which the best epoch is chosen."""
        return self.ndcg[10]

    def shown(self) -> dict[str, float]:
        """Return the numbers of an epoch for people."""
        return {"HR@10": self.hr[10], "NDCG@10": self.ndcg[10]}

    def scalars(self) -> dict[str, float]:
        """Return the numbers that are drawn as curves."""
        return {name: value for name, value in self.to_dict().items() if name != "num_users"}

    @classmethod
    def from_places(cls, places: NDArray[np.int64], ks: Sequence[int] = KS) -> Self:
        """Compute the metrics from the targets' places, int64 `[num_users]` from 1 (best)."""
        gains = 1.0 / np.log2(1.0 + places)
        return cls(
            hr={k: float(np.mean(places <= k)) for k in ks},
            ndcg={k: float(np.mean(gains * (places <= k))) for k in ks},
            mrr=float(np.mean(1.0 / places)),
            num_users=len(places),
        )

    def to_dict(self) -> dict[str, Any]:
        """Flatten: `hr_10`, `ndcg_10` and so on, `mrr`, `num_users`."""
        at_k = {f"{name}_{k}": value for name in ("hr", "ndcg") for k, value in getattr(self, name).items()}
        return {**at_k, "mrr": self.mrr, "num_users": self.num_users}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` gave, or raise a `ValueError`, `KeyError` or `TypeError`."""
        parts = {
            name: {
                int(key.removeprefix(f"{name}_")): float(value) for key, value in values.items() if key.startswith(name)
            }
            for name in ("hr", "ndcg")
        }
        if 1 in parts["hr"]:
            parts["ndcg"].setdefault(1, parts["hr"][1])  # they are equal, and earlier versions wrote one of them
        if not parts["hr"] or set(parts["hr"]) != set(parts["ndcg"]):
            raise ValueError(f"metrics hold {', '.join(values)}, not hr and ndcg of the same k")
        return cls(**parts, mrr=float(values["mrr"]), num_users=int(values["num_users"]))


def places_of(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the place of each row's target among all its scores, from 1; an equal score counts as ahead of the target.

    Args:
        scores: float `[batch, num_items]`, column j is item j + 1; -inf leaves an item out.
        targets: int64 `[batch]`; 0 is an item that the model does not know, whose place is `NOWHERE`.

    Returns:
        int64 `[batch]`. A model that gives all items the same score, or NaN, gets the last place, not the first.
    """
    own = scores.gather(1, (targets - 1).clamp(min=0).unsqueeze(1))
    return torch.where(targets > 0, scores.size(1) - _counts(scores < own), NOWHERE)


def _counts(marks: Tensor) -> Tensor:
    """Count the marks of each row, int64 `[batch]`."""
    if marks.device.type != "cpu":
        return marks.sum(dim=1)
    return torch.from_numpy(np.count_nonzero(marks.numpy(), axis=1))  # torch takes six times as long on a CPU


def evaluate(
    model: BST,
    examples: Examples,
    max_length: int,
    *,
    filter_seen: bool,
    world: World | None = None,
    batch_size: int = 512,
) -> RankingMetrics:
    """Rank the whole catalogue for every example (see `rank`) and compute the metrics of the targets' places."""
    places = rank(model, examples, max_length, filter_seen=filter_seen, world=world, batch_size=batch_size)
    return RankingMetrics.from_places(places)


@torch.inference_mode()
def rank(
    model: BST,
    examples: Examples,
    max_length: int,
    *,
    filter_seen: bool,
    world: World | None = None,
    batch_size: int = 512,
) -> NDArray[np.int64]:
    """Rank the whole catalogue for every example: the places of the targets, int64 `[len(examples)]` from 1.

    With `filter_seen`, items of the user's whole history are left out, unless the target is one of them: such a target
    is ranked among all items, for leaving out the others would give it away. The model is put in evaluation mode for
    the time being and back afterwards. The processes of `world` share the work, and each gets all places.
    """
    world = world or World()
    device = world.device
    was_training = model.training
    model.eval()
    places = torch.zeros(len(examples), dtype=torch.int64, device=device)
    lengths = np.minimum(examples.lengths, max_length)
    batches = alike_in_length(lengths, batch_size, exactly=model.padding_counts)
    for rows in batches[world.rank :: world.size]:
        batch = examples.batch(rows, max_length)
        vectors = model.user_vectors(batch.share(device).inputs)
        left_out = examples.seen_to_leave_out(rows) if filter_seen else None
        places[rows] = _places(model, vectors, batch.targets.to(device), left_out)
    model.train(was_training)
    return world.sum(places).cpu().numpy()


def filter_by(chosen: bool | None, validation: Examples) -> tuple[bool, str]:
    """Decide whether metrics leave out the items of the history; return the decision and a line that states it.

    Args:
        chosen: the setting; None leaves it to the validation targets (see `TrainConfig.filter_seen`).
    """
    returning = float(validation.returning().mean()) if len(validation) else 0.0
    filter_seen = returning <= RETURNING if chosen is None else chosen
    share = f"{100 * returning:.1f} % of the validation targets stand in their own history"
    if not len(validation):
        share = "there is no validation target to tell whether users return"
    if filter_seen:
        return True, f"items of the history are left out of each ranking, unless the target is one of them; {share}"
    return False, f"nothing is left out of the rankings; {share}"


def _places(model: BST, vectors: Tensor, targets: Tensor, left_out: tuple[Tensor, Tensor] | None) -> Tensor:
    """Rank for user vectors `[batch, user_width]`, as many rows at a time as `SCORES` allows."""
    at_once = max(FEWEST, SCORES // (model.item_embedding.num_embeddings - 1))
    parts, start = [], 0
    for some in vectors.tensor_split(-(-len(vectors) // at_once)):  # of even sizes: none of only a row or two
        stop = start + len(some)
        scores = model.item_scores(some)
        if left_out is not None:
            row, item = left_out
            here = (row >= start) & (row < stop)
            scores[(row[here] - start).to(scores.device), (item[here] - 1).to(scores.device)] = -torch.inf
        parts.append(places_of(scores, targets[start:stop]))
        start = stop
    return torch.cat(parts)
