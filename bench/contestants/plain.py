"""The plain export, as people write it: the bare model, by index, nothing guarded, nothing looked up.

No `from __future__ import annotations`, because TorchScript reads the annotations.
"""

import math
from collections.abc import Callable
from typing import Any, Dict, Final  # noqa: UP035  the words that TorchScript knows

import torch
from torch import Tensor, nn

from bst.errors import InputError
from bst.model import BST, ClickBST
from bst.model.network import by_name
from export.contract.signatures import Signature, TopK


class AllScores(nn.Module):
    def __init__(self, model: BST) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        return self.model.item_scores(self.model.user_vectors(inputs))


class TopKOfAll(nn.Module):
    k: Final[int]

    def __init__(self, model: BST, k: int) -> None:
        super().__init__()
        self.model, self.k = model, k

    def forward(self, inputs: Dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # noqa: UP006
        scores, columns = self.model.item_scores(self.model.user_vectors(inputs)).topk(self.k)
        return columns + 1, scores


class TopKOfNew(TopKOfAll):
    """Plain `top_k` without the items of the history."""

    def forward(self, inputs: Dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # noqa: UP006
        all_scores = nn.functional.pad(self.model.item_scores(self.model.user_vectors(inputs)), (1, 0), value=-math.inf)
        scores, indices = all_scores.scatter(1, inputs["items"], -math.inf).topk(self.k)
        return indices, scores


class ScoreCandidates(AllScores):
    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        rows, biases = self.model.output_rows(inputs["candidates"])
        return (rows @ self.model.user_vectors(inputs).unsqueeze(2)).squeeze(2) + biases


class ScoreSequences(nn.Module):
    """The click model as people write it: a whole sequence for each candidate."""

    def __init__(self, model: ClickBST) -> None:
        super().__init__()
        self.model = model.tiled()

    def forward(self, inputs: Dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # noqa: UP006
        scores = self.model.candidate_logits(self.model.encode_user(inputs), inputs["candidates"])
        return scores.sigmoid(), scores


class EncodeUser(AllScores):
    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        return self.model.user_vectors(inputs)


class Plain(nn.Module):
    """A function of `inputs` by name, called with tensors: what an exporter takes. What a model lacks is None."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        candidates: Tensor | None = None,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
        candidate_features: Tensor | None = None,
    ) -> Any:  # TorchScript takes no type that depends on the function
        inputs = by_name(items, context, events, event_time, request_time, numbers)
        if candidates is not None:
            inputs["candidates"] = candidates
            if candidate_features is not None:
                inputs["candidates"] = torch.cat((candidates.unsqueeze(-1), candidate_features), dim=-1)
        return self.function(inputs)


def plain(model: BST, signature: Signature, top_k: TopK) -> nn.Module:
    """Return the plain module of a signature. Its inputs are `items`, `context` (`[batch, 0]` where there is none),
    `candidates`, and what else the model reads, in the order of `BST.forward`.
    """
    functions: dict[str, Callable[[], nn.Module]] = {
        "all_scores": lambda: AllScores(model),
        "top_k": lambda: (TopKOfNew if top_k.exclude_history else TopKOfAll)(model, top_k.limit),
        "score_candidates": lambda: ScoreCandidates(model),
        "encode_user": lambda: EncodeUser(model),
    }
    if signature.name not in functions:
        raise InputError(f"there is no plain module of {signature.name}; known: {', '.join(functions)}")
    if isinstance(model, ClickBST):
        return Plain(ScoreSequences(model)).eval()
    return Plain(functions[signature.name]()).eval()
