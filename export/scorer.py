"""The signatures as torch code: once at index level, and once more with raw ids in front and behind.

Everything here can be scripted, and runs eagerly as it is: eager and TorchScript share every line. No
`from __future__ import annotations`, because TorchScript reads the annotations of attributes.
"""

import textwrap
import types
from collections.abc import Callable
from typing import Any, Dict, List, Tuple  # noqa: UP035  the words that TorchScript knows

import torch
from torch import Tensor, nn

from bst.model import BST
from bst.vocabulary import Vocabularies, Vocabulary
from export.signatures import Signature


class Scorer(nn.Module):
    """The index-level signatures of a model. `items` int64 `[batch, length]`, `context` int64 `[batch, num_context]`.

    Indices must be in range and `length` at most `max_length`: `guard_items`, `guard_context` see to it.
    """

    num_categories: Tensor

    def __init__(self, model: BST, *, max_length: int, num_categories: list[int], k: int) -> None:
        super().__init__()
        self.model = model
        self.max_length = max_length
        self.num_items = model.item_embedding.num_embeddings - 1
        self.k = k
        self.register_buffer("num_categories", torch.tensor(num_categories, dtype=torch.int64), persistent=False)

    def all_scores(self, items: Tensor, context: Tensor) -> Tensor:
        """Score every item: float32 `[batch, num_items]`, column j is the item with index j + 1."""
        return self.model.item_scores(self.model.user_vectors(items, context))

    def top_k(self, items: Tensor, context: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Pick the k best: their indices int64 `[batch, k]` and scores float32 `[batch, k]`, best first."""
        scores, columns = self.all_scores(items, context).topk(self.k)
        return columns + 1, scores

    def newest(self, items: Tensor) -> Tensor:
        """Cut to the newest `max_length` slots."""
        return items[:, -self.max_length :]

    def guard_items(self, items: Tensor) -> Tensor:
        """Turn every index that is no item into padding."""
        return torch.where((items > 0) & (items <= self.num_items), items, 0)

    def guard_context(self, context: Tensor) -> Tensor:
        """Turn every index that is no category into 0, the unknown one."""
        return torch.where((context > 0) & (context <= self.num_categories), context, 0)


class IntegerIds(nn.Module):
    """Raw int64 ids to indices and back, by a sorted table."""

    ids: Tensor
    padding: int

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.register_buffer("ids", torch.tensor(vocabulary.ids.to_list(), dtype=torch.int64))
        self.padding = int(vocabulary.padding)

    def forward(self, raw: Tensor) -> Tensor:
        """Look up int64 ids of any shape; 0 for an id that the table does not hold."""
        places = torch.searchsorted(self.ids, raw).clamp(max=self.ids.size(0) - 1)
        return torch.where(self.ids[places] == raw, places + 1, 0)

    def raw(self, indices: Tensor) -> Tensor:
        """Give the ids of `indices` (from 1)."""
        return self.ids[indices - 1]


class TextIds(nn.Module):
    """Raw text ids to indices and back, by a dictionary."""

    ids: List[str]  # noqa: UP006
    index: Dict[str, int]  # noqa: UP006
    place: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        # Empty; it moves with the module, and so says on which device the indices are wanted.
        self.register_buffer("place", torch.empty(0), persistent=False)
        self.ids = vocabulary.ids.to_list()
        self.index = {text: place for place, text in enumerate(self.ids, start=1)}

    def forward(self, raw: List[str]) -> Tensor:  # noqa: UP006
        """Look up a list of texts: int64 `[len(raw)]`, 0 for one that the dictionary does not hold."""
        indices: List[int] = []  # noqa: UP006
        for text in raw:
            indices.append(self.index.get(text, 0))  # noqa: PERF401  TorchScript
        return torch.tensor(indices, dtype=torch.int64, device=self.place.device)

    def rows(self, raw: List[List[str]]) -> Tensor:  # noqa: UP006
        """Look up rows of equal length: int64 `[len(raw), length]`."""
        indices: List[Tensor] = []  # noqa: UP006
        for row in raw:
            indices.append(self.forward(row))  # noqa: PERF401  TorchScript
        return torch.stack(indices)

    def raw(self, indices: Tensor) -> List[List[str]]:  # noqa: UP006
        """Give the ids of `indices` (from 1), int64 `[batch, n]`, as rows of text."""
        rows: List[List[int]] = indices.tolist()  # noqa: UP006
        found: List[List[str]] = []  # noqa: UP006
        for row in rows:
            found.append([self.ids[index - 1] for index in row])  # noqa: PERF401  TorchScript
        return found


class ServedModel(nn.Module):
    """A scorer with its id tables. Its signatures are made from source text, because each model has inputs of its own.

    `method_source` is that text: run by Python it is the eager backend, compiled by TorchScript the scripted one.
    """

    def __init__(self, scorer: Scorer, vocabularies: Vocabularies | None) -> None:
        super().__init__()
        self.scorer = scorer
        if vocabularies is not None:
            self.item_ids = _id_table(vocabularies.items)
            for name, vocabulary in vocabularies.context.items():
                setattr(self, f"{name}_ids", _id_table(vocabulary))

    def method(self, signature: Signature) -> Callable[..., Any]:
        """Bind `signature` as a Python callable that takes its inputs in order."""
        namespace: dict[str, Any] = {"torch": torch, "Tensor": Tensor, "List": List, "Tuple": Tuple}  # noqa: UP006
        exec(method_source(signature), namespace)
        return types.MethodType(namespace[signature.name], self)


def method_source(signature: Signature) -> str:
    """Write `signature` as a method of `ServedModel`, in the part of Python that TorchScript compiles."""
    first, *context = signature.inputs
    raw_ids = first.name == "history"
    types_of = {
        ("int64", 1): "Tensor",
        ("int64", 2): "Tensor",
        ("string", 1): "List[str]",
        ("string", 2): "List[List[str]]",
    }
    arguments = ", ".join(f"{spec.name}: {types_of[spec.dtype, len(spec.shape)]}" for spec in signature.inputs)
    if raw_ids:
        lookup = "self.item_ids.rows(history)" if first.dtype == "string" else "self.item_ids(history)"
        columns = ", ".join(f"self.{spec.name}_ids({spec.name})" for spec in context)
        read_context = f"torch.stack([{columns}], dim=1)"
    else:
        lookup, read_context = "self.scorer.guard_items(items)", "self.scorer.guard_context(context)"
    if not context:
        read_context = "bst_items.new_zeros([bst_items.size(0), 0])"
    results = {"all_scores": "Tensor", "top_k": "Tuple[Tensor, Tensor]"}
    answer = f"return self.scorer.{signature.name}(bst_items, bst_context)"
    if raw_ids and signature.name == "top_k":
        answer = "bst_found, bst_scores = self.scorer.top_k(bst_items, bst_context)\n"
        answer += "return self.item_ids.raw(bst_found), bst_scores"
        if first.dtype == "string":
            results["top_k"] = "Tuple[List[List[str]], Tensor]"
    body = f"bst_items = self.scorer.newest({lookup})\nbst_context = {read_context}\n{answer}\n"
    return f"def {signature.name}(self, {arguments}) -> {results[signature.name]}:\n{textwrap.indent(body, '    ')}"


def _id_table(vocabulary: Vocabulary) -> nn.Module:
    return IntegerIds(vocabulary) if vocabulary.dtype == "int64" else TextIds(vocabulary)
