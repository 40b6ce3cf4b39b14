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
    """A vocabulary as tables: index 0 stands for padding and for an id that the vocabulary does not hold."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids: list[Any] = vocabulary.ids.to_list()
        self.raw_ids: NDArray[Any] = np.array(
            [vocabulary.padding, *ids], dtype=np.int64 if vocabulary.dtype == "int64" else object
        )
        self.places = dict(zip(ids, range(1, len(ids) + 1), strict=True)) if vocabulary.dtype == "string" else {}

    def indices(self, raw: Array) -> NDArray[np.int64]:
        """Look ids up: int64 of the same shape."""
        if self.raw_ids.dtype == object:
            indices = [self.places.get(text, 0) for text in raw.ravel().tolist()]
            return np.array(indices, dtype=np.int64).reshape(raw.shape)
        ids = self.raw_ids[1:]
        if not len(ids):
            return np.zeros(raw.shape, dtype=np.int64)
        places = np.searchsorted(ids, raw).clip(max=len(ids) - 1)
        return np.where(ids[places] == raw, places + 1, 0).astype(np.int64)

    def raw(self, indices: NDArray[np.integer[Any]]) -> Array:
        """Return the ids of indices within the vocabulary: int64, or object holding str, of the same shape."""
        return self.raw_ids[indices]
