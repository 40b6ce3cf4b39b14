"""The loss: the cross-entropy of every prefix of every window, over the catalogue or a sample of it."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bst.model import BST, ClickBST
from bst.training.negatives import Negatives

COUNT_POWER = 0.75


class Loss(nn.Module):
    """A loss as a module around a model, so that what wraps modules (several processes, a compiler) can wrap it."""

    @property
    def by_row(self) -> list[nn.Parameter]:
        """The tables that are trained by row."""
        return []

    @property
    def reads_rows(self) -> bool:
        """Whether a batch reads some rows of `by_row` alone, so that their gradients can be sparse."""
        return bool(self.by_row)


class PrefixLoss(Loss):
    """The cross-entropy of the item that follows each prefix.

    Without `sampler` it is the cross-entropy of the full softmax. With it, the softmax runs over the target and the
    items drawn, which all examples of a batch share. A drawn item's score is lowered by the logarithm of how often it
    was to be expected in the draw (the logQ correction of Bengio & Senecal, 2008), which makes the denominator an
    unbiased estimate of the full one. The target is not drawn, so it is not corrected, and a draw that hits it is
    left out (Khrylchenko et al., 2025).

    `items_apart` trains the tables of items by row.
    """

    def __init__(self, model: BST, sampler: NegativeSampler | None = None, items_apart: bool = False) -> None:
        super().__init__()
        self.model = model
        self.sampler, self.items_apart = sampler, items_apart

    @property
    def reads_rows(self) -> bool:
        return self.sampler is not None

    @property
    def by_row(self) -> list[nn.Parameter]:
        if not self.items_apart:
            return []
        tables: list[nn.Module] = [self.model.item_embedding]
        if not self.model.tied_output:
            tables.append(self.model.output)
        return [table.get_parameter("weight") for table in tables]

    def forward(self, items: Tensor, context: Tensor, targets: Tensor, **beside: Tensor) -> Tensor:
        """Sum, in nats, over the prefixes of a training batch (see `Batch`); slots whose target is 0 do not count.

        Returns a float32 scalar.
        """
        predicts = targets > 0
        vectors = self.model.prefix_vectors({"items": items, "context": context, **beside})[predicts]
        if self.sampler is None:
            # Cutting padding's row off the weights is cheap; cutting its column off the scores would copy them.
            scores = F.linear(vectors, *self.model.output_layer())
            return F.cross_entropy(scores.float(), targets[predicts] - 1, reduction="sum")
        return self._sampled(vectors, targets[predicts], self.sampler.draw())

    def _sampled(self, vectors: Tensor, targets: Tensor, drawn: Tensor) -> Tensor:
        assert self.sampler is not None
        weight, bias = self.model.output_rows(targets)
        own = (vectors * weight).sum(dim=1).float() + bias  # [N]
        # An item that is drawn twice is scored once, and counts twice.
        drawn, times = drawn.unique(return_counts=True)
        weight, bias = self.model.output_rows(drawn)
        others = F.linear(vectors, weight, bias + times.log() - self.sampler.log_expected[drawn - 1]).float()
        place = torch.searchsorted(drawn, targets).clamp(max=len(drawn) - 1)
        hits = (drawn[place] == targets).nonzero().squeeze(1)
        with torch.no_grad():  # of a score of minus infinity the sum of exponentials has no gradient
            others[hits, place[hits]] = -math.inf  # [N, at most num_negatives]
        scores = torch.cat((own.unsqueeze(1), others), dim=1)
        return F.cross_entropy(scores, torch.zeros_like(targets), reduction="sum")


class CandidateLoss(Loss):
    """A loss of the logits of candidates: a batch reads the vectors of its histories and candidates alone."""

    def __init__(self, model: ClickBST) -> None:
        super().__init__()
        self.model = model

    @property
    def by_row(self) -> list[nn.Parameter]:
        return [self.model.item_embedding.get_parameter("weight")]


class ClickLoss(CandidateLoss):
    """The binary cross-entropy of the target and of drawn negatives, of every prefix of every window.

    Of each prefix it is the mean over its candidates. A draw that hits the target is left out.
    """

    def __init__(self, model: ClickBST, negatives: Negatives, per_event: int) -> None:
        super().__init__(model)
        self.negatives, self.per_event = negatives, per_event

    def forward(self, items: Tensor, context: Tensor, targets: Tensor, **beside: Tensor) -> Tensor:
        """Sum, in nats, over the prefixes of a training batch (see `Batch`); slots whose target is 0 do not count.

        Returns a float32 scalar.
        """
        drawn = self.negatives.draw(*targets.shape, self.per_event)
        candidates = torch.cat((targets.unsqueeze(-1), drawn), dim=-1)  # [B, L, 1 + per_event]
        predicts = targets > 0
        logits = self.model.prefix_logits({"items": items, "context": context, **beside}, candidates, predicts)
        candidates = candidates[predicts]
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1
        counted = candidates != candidates[:, :1]
        counted[:, 0] = True
        return _cross_entropy(logits, labels, counted / counted.sum(dim=1, keepdim=True))


class ImpressionLoss(CandidateLoss):
    """The binary cross-entropy of what was shown, with the labels of a log."""

    def forward(self, targets: Tensor, labels: Tensor, **inputs: Tensor) -> Tensor:
        """Sum, in nats, over the impressions of a batch of requests (see `Batch`); a target of 0 does not count.

        Returns a float32 scalar.
        """
        return _cross_entropy(self.model(candidates=targets, **inputs), labels, targets > 0)


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum the binary cross-entropy of logits with labels of 0 and 1, each times its weight; all of one shape."""
    return (F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none") * weights).sum()


class NegativeSampler:
    """A sampler of items with replacement, with a probability that grows with their count to the power 0.75.

    The power is that of Mikolov et al. (2013); an item that never occurs counts as occurring once.

    Args:
        counts: occurrences `[num_items]`, entry j is item j + 1.
        num_negatives: size of a draw.
        device: the device of the draws.
    """

    def __init__(self, counts: NDArray[np.int64], num_negatives: int, device: str = "cpu") -> None:
        weights = np.maximum(counts, 1).astype(np.float64) ** COUNT_POWER
        probabilities = weights / weights.sum()
        self.num_negatives = num_negatives
        self.cumulative = torch.from_numpy(np.cumsum(probabilities)).to(device)
        self.log_expected = torch.from_numpy(np.log(probabilities * num_negatives)).to(device, torch.float32)

    def draw(self) -> Tensor:
        """Draw item indices, int64 `[num_negatives]`, from 1, by torch's random numbers of the device."""
        # float64: steps of float32 are wider than the probabilities of a million items.
        at = torch.rand(self.num_negatives, dtype=torch.float64, device=self.cumulative.device)
        return torch.searchsorted(self.cumulative, at, right=True).clamp(max=len(self.cumulative) - 1) + 1
