"""Raw ids and their indices for requests, with numpy and a dict alone.

A library with threads of its own (polars) would wait for ever in the path of a request, in a process that was forked
after it was used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.data.vocabulary import Vocabulary
from export.contract.inputs import Array


class Lookup:
    """A vocabulary as tables: index 0 stands for padding, `unknown` for an id that the vocabulary does not hold."""

    def __init__(self, vocabulary: Vocabulary, unknown: int = 0) -> None:
        ids: list[Any] = vocabulary.ids.to_list()
        self.unknown = unknown
        self.raw_ids: NDArray[Any] = np.array(
            [vocabulary.padding, *ids], dtype=np.int64 if vocabulary.dtype == "int64" else object
        )
        self.places = dict(zip(self.raw_ids, range(len(ids) + 1), strict=True)) if vocabulary.dtype == "string" else {}

    def indices(self, raw: Array) -> NDArray[np.int64]:
        """Look ids up: int64 of the same shape."""
        if self.raw_ids.dtype == object:
            indices = [self.places.get(text, self.unknown) for text in raw.ravel().tolist()]
            return np.array(indices, dtype=np.int64).reshape(raw.shape)
        ids = self.raw_ids[1:]
        if not len(ids):
            return np.zeros(raw.shape, dtype=np.int64)
        places = np.searchsorted(ids, raw).clip(max=len(ids) - 1)
        unknown = np.where(raw == self.raw_ids[0], 0, self.unknown)
        return np.where(ids[places] == raw, places + 1, unknown).astype(np.int64)

    def raw(self, indices: NDArray[np.integer[Any]]) -> Array:
        """Return the ids of indices within the vocabulary: int64, or object holding str, of the same shape."""
        return self.raw_ids[indices]
