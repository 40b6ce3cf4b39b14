"""Negatives of a click model: items drawn beside each event, as if they had been shown and not clicked."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.data.batches import Examples
from bst.errors import InputError

UNIFORM = "uniform"


class Negatives:
    """A draw of items that are trained on, with replacement.

    Args:
        counts: occurrences in the training events `[num_items]`, entry j is item j + 1; a 0 is never drawn.
        rule: `uniform`, all alike, or `popularity`, in proportion to the counts.

    Raises:
        InputError: fewer than two items occur.
    """

    def __init__(self, counts: NDArray[np.int64], rule: str, device: str = "cpu") -> None:
        if (counts > 0).sum() < 2:
            raise InputError(
                f"{int((counts > 0).sum())} items are trained on, and a negative is another item than the target; give "
                "events of two items or more"
            )
        weights = (counts > 0).astype(np.float64) if rule == UNIFORM else counts.astype(np.float64)
        self.shares = np.cumsum(weights / weights.sum())
        # float64: steps of float32 are wider than the probabilities of a million items.
        self.cumulative = torch.from_numpy(self.shares).to(device)
        self.last = int(np.flatnonzero(counts)[-1])

    def draw(self, *shape: int) -> Tensor:
        """Draw item indices, int64 of a shape, from 1, by torch's random numbers of the device."""
        at = torch.rand(shape, dtype=torch.float64, device=self.cumulative.device)
        return torch.searchsorted(self.cumulative, at, right=True).clamp(max=self.last) + 1

    def beside(self, examples: Examples, number: int, seed: int) -> NDArray[np.int64]:
        """Draw `number` negatives for each example, none of them its target: int64 `[len(examples), 1 + number]`, the
        target first. The same arguments give the same items, and other examples get others: what was a negative in
        training or validation tells nothing of those of the test.
        """
        rng = np.random.default_rng([seed, zlib.crc32(examples.targets.astype(np.int64).tobytes())])
        targets = examples.sequences.items[examples.targets].astype(np.int64)[:, None]
        drawn = np.zeros((len(targets), number), dtype=np.int64)
        open_places = np.ones(drawn.shape, dtype=np.bool_)
        while open_places.any():  # two items can be drawn, so that this ends
            places = np.searchsorted(self.shares, rng.random(int(open_places.sum())), side="right")
            drawn[open_places] = np.minimum(places, self.last) + 1
            open_places = drawn == targets
        return np.concatenate([targets, drawn], axis=1)
