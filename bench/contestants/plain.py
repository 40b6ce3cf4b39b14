"""The plain export, as people write it: the bare model, by index, nothing guarded, nothing looked up.

No `from __future__ import annotations`, because TorchScript reads the annotations.
"""

from collections.abc import Callable
from typing import Final

from torch import Tensor, nn

from bst.errors import InputError
from bst.model import BST
from export.contract.signatures import Signature, TopK


class PlainAllScores(nn.Module):
    def __init__(self, model: BST) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        return self.model.item_scores(
            self.model.user_vectors(items, context, events, event_time, request_time, numbers)
        )


class PlainTopK(nn.Module):
    k: Final[int]

    def __init__(self, model: BST, k: int) -> None:
        super().__init__()
        self.model, self.k = model, k

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        scores, columns = self.model.item_scores(
            self.model.user_vectors(items, context, events, event_time, request_time, numbers)
        ).topk(self.k)
        return columns + 1, scores


class PlainTopKOfNew(nn.Module):
    """Plain `top_k` without the items of the history."""

    k: Final[int]

    def __init__(self, model: BST, k: int) -> None:
        super().__init__()
        self.model, self.k = model, k

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        scores, indices = (
            self.model(items, context, events, event_time, request_time, numbers)
            .scatter(1, items, float("-inf"))
            .topk(self.k)
        )
        return indices, scores


class PlainScoreCandidates(nn.Module):
    def __init__(self, model: BST) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        candidates: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        rows, biases = self.model.output_rows(candidates)
        return (
            rows @ self.model.user_vectors(items, context, events, event_time, request_time, numbers).unsqueeze(2)
        ).squeeze(2) + biases


class PlainEncodeUser(nn.Module):
    def __init__(self, model: BST) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        return self.model.user_vectors(items, context, events, event_time, request_time, numbers)


def plain(model: BST, signature: Signature, top_k: TopK) -> nn.Module:
    """Return the plain module of a signature. Its inputs are `items`, `context` (`[batch, 0]` where there is none),
    `candidates`, and what else the model reads, in the order of `BST.forward`.
    """
    modules: dict[str, Callable[[], nn.Module]] = {
        "all_scores": lambda: PlainAllScores(model),
        "top_k": lambda: (PlainTopKOfNew if top_k.exclude_history else PlainTopK)(model, top_k.limit),
        "score_candidates": lambda: PlainScoreCandidates(model),
        "encode_user": lambda: PlainEncodeUser(model),
    }
    if signature.name not in modules:
        raise InputError(f"there is no plain module of {signature.name}; known: {', '.join(modules)}")
    return modules[signature.name]().eval()
