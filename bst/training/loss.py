"""The loss: the cross-entropy of every prefix of every window, over the catalogue or a sample of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bst.model import BST, ClickBST
from bst.training.negatives import Negatives

COUNT_POWER = 0.75
# Of 32, 64 and 128 rows, with 3,416 to 54,542 candidates, the last takes the least time.
BLOCK_ROWS = 128
# oneDNN compiles a kernel for each new shape of a product in bfloat16, which takes longer than the product.
TILE = 32


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
        vectors = self.model.prefix_vectors({"items": items, "context": context, **beside})[predicts].float()
        targets = targets[predicts]
        target_weight, target_bias = self.model.output_rows(targets)
        own = (vectors * target_weight).sum(dim=1).float() + target_bias  # [N]
        weight, bias, places = self._candidates(targets)
        loss: Tensor = SharedSoftmax.apply(own, vectors, weight, bias, places)  # type: ignore[no-untyped-call]
        return loss

    def _candidates(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output layer of the items that all targets `[N]` are told from, `[C, user_width]` and `[C]`, and
        the place of each target among them, int64 `[N]`: C where it is not one of them.
        """
        if self.sampler is None:
            return *self.model.output_layer(), targets - 1
        # An item that is drawn twice is scored once, and counts twice.
        drawn, times = self.sampler.draw().unique(return_counts=True)
        weight, bias = self.model.output_rows(drawn)
        places = torch.searchsorted(drawn, targets).clamp(max=len(drawn) - 1)
        places = torch.where(drawn[places] == targets, places, len(drawn))
        return weight, bias + times.log() - self.sampler.log_expected[drawn - 1], places


class SharedSoftmax(torch.autograd.Function):
    """The cross-entropy of N targets, each told from the same C candidates.

    The gradient is computed with the loss, in blocks of rows that stay in the cache of a processor. In bfloat16 that
    takes half of the time of a product, a softmax and their gradients one after another. Of all rows only the softmax
    is kept, in the type of the products. There is no gradient of the second order. Under autocast the products are of
    its type; scores, softmax and sums are float32.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, vectors: Tensor, weight: Tensor, bias: Tensor, places: Tensor) -> Tensor:
        """Sum, in nats, over rows: the logarithm of the sum of the exponentials of all scores, less that of the target.

        Args:
            own: the scores of the targets, float32 `[N]`.
            vectors, weight, bias: float32 `[N, D]`, `[C, D]` and `[C]`; their products and sums are the scores of
                candidates.
            places: int64 `[N]`, the candidate that is the target and does not count once more; C where none is.

        Returns a float32 scalar.
        """
        device, num_rows, num_candidates = vectors.device.type, len(vectors), len(weight)
        product_type = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else vectors.dtype
        vectors, weight = (_whole_tiles(table.to(product_type)) for table in (vectors, weight))
        bias = F.pad(bias, (0, len(weight) - num_candidates), value=-math.inf)
        places = torch.where(places < num_candidates, places, len(weight))
        loss, of_own, of_bias = own.new_zeros(()), torch.empty_like(own), torch.zeros_like(bias)
        of_vectors, shares = torch.empty_like(vectors), vectors.new_zeros(len(vectors), len(weight))
        for first in range(0, num_rows, BLOCK_ROWS):
            block, real = slice(first, first + BLOCK_ROWS), slice(first, min(first + BLOCK_ROWS, num_rows))
            products = vectors[block] @ weight.t()
            scores = own.new_empty(real.stop - first, len(weight) + 1)  # the last column is that of the target
            torch.add(products[: len(scores)], bias, out=scores[:, :-1])
            # A target among the candidates is hidden there; one that is not, in the column that `own` then fills.
            scores.scatter_(1, places[real].unsqueeze(1), -math.inf)
            scores[:, -1] = own[real]
            softmax = scores.softmax(dim=1)
            # The largest of a row is no less than 1 / (C + 1): its logarithm is finite.
            loss += (scores.amax(dim=1) - softmax.amax(dim=1).log() - own[real]).sum()
            of_own[real] = softmax[:, -1] - 1
            of_bias += softmax[:, :-1].sum(dim=0)
            shares[real] = softmax[:, :-1]
            of_vectors[block] = shares[block] @ weight
        of_weight = shares.t() @ vectors
        ctx.save_for_backward(of_own, of_vectors[:num_rows], of_weight[:num_candidates], of_bias[:num_candidates])
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that `forward` has computed."""
        return *(part * gradient for part in ctx.saved_tensors), None


def _whole_tiles(table: Tensor) -> Tensor:
    """Add rows of zeros up to a multiple of `TILE`."""
    return F.pad(table, (0, 0, 0, -len(table) % TILE))


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
