"""Tables between raw ids and indices, in torch: parts of a model that takes raw ids."""

from typing import Dict, List  # noqa: UP035  the words that TorchScript knows

import torch
from torch import Tensor, nn

from bst.data.vocabulary import Vocabulary


class IntegerIds(nn.Module):
    """A sorted table between raw int64 ids and indices."""

    __constants__ = ("has_unknown",)
    ids: Tensor
    padding: int

    def __init__(self, vocabulary: Vocabulary, unknown: int = 0) -> None:
        super().__init__()
        self.register_buffer("ids", torch.from_numpy(vocabulary.ids.to_numpy(writable=True)))
        self.padding = int(vocabulary.padding)
        self.unknown, self.has_unknown = unknown, unknown > 0

    def forward(self, raw: Tensor) -> Tensor:
        """Look up int64 ids of any shape; `unknown` for an id that the table does not hold, 0 for padding."""
        places = torch.searchsorted(self.ids, raw).clamp(max=self.ids.size(0) - 1)
        indices = torch.where(self.ids[places] == raw, places + 1, self.unknown)
        if self.has_unknown:
            indices = torch.where(raw == self.padding, 0, indices)
        return indices

    def raw(self, indices: Tensor) -> Tensor:
        """Return the ids of `indices`, the padding id for 0."""
        return torch.where(indices > 0, self.ids[(indices - 1).clamp(min=0)], self.padding)


class TextIds(nn.Module):
    """A dictionary between raw text ids and indices."""

    ids: List[str]  # noqa: UP006
    index: Dict[str, int]  # noqa: UP006
    place: Tensor

    def __init__(self, vocabulary: Vocabulary, unknown: int = 0) -> None:
        super().__init__()
        # Empty; it moves with the module, so its device is that of the indices.
        self.register_buffer("place", torch.empty(0), persistent=False)
        self.ids = [str(vocabulary.padding), *vocabulary.ids.to_list()]
        self.index = {text: place for place, text in enumerate(self.ids)}
        self.unknown = unknown

    def forward(self, raw: List[str]) -> Tensor:  # noqa: UP006
        """Look up a list of texts: int64 `[len(raw)]`, `unknown` for one that the dictionary does not hold."""
        indices: List[int] = []  # noqa: UP006
        for text in raw:
            indices.append(self.index.get(text, self.unknown))  # noqa: PERF401  TorchScript
        return torch.tensor(indices, dtype=torch.int64, device=self.place.device)

    def rows(self, raw: List[List[str]]) -> Tensor:  # noqa: UP006
        """Look up rows of equal length: int64 `[len(raw), length]`."""
        indices: List[Tensor] = []  # noqa: UP006
        for row in raw:
            indices.append(self.forward(row))  # noqa: PERF401  TorchScript
        return torch.stack(indices)

    def raw(self, indices: Tensor) -> List[List[str]]:  # noqa: UP006
        """Return the ids of `indices` int64 `[batch, n]` as rows of text, the padding id for 0."""
        rows: List[List[int]] = indices.tolist()  # noqa: UP006
        texts: List[List[str]] = []  # noqa: UP006
        for row in rows:
            texts.append([self.ids[index] for index in row])  # noqa: PERF401  TorchScript
        return texts


def id_table(vocabulary: Vocabulary, unknown: int = 0) -> IntegerIds | TextIds:
    """Make the table of a vocabulary; `unknown` is the index of an id that it does not hold."""
    return IntegerIds(vocabulary, unknown) if vocabulary.dtype == "int64" else TextIds(vocabulary, unknown)
