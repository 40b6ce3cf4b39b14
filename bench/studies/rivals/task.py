"""The task that all rivals share: training windows, the ranking of held-out users, and a line for each epoch."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bst import Dataset
from bst.data.batches import Examples, slots_of
from bst.data.sequences import ranges
from bst.model import BST
from bst.training.metrics import RankingMetrics, evaluate, filter_by


@dataclass(frozen=True)
class Limits:
    """The end of a training, whichever comes first.

    Attributes:
        epochs: passes over the windows.
        patience: epochs in a row without a better validation NDCG@10; None is without end.
        minutes: of training and validation, after which no epoch starts; None is without end.
        steps: batches an epoch, for a measurement of speed alone; None is all.
    """

    epochs: int
    patience: int | None = None
    minutes: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Task:
    """A dataset with its leave-one-out split; metrics leave out the items of the history as `bst train` does."""

    dataset: Dataset

    @property
    def num_items(self) -> int:
        return len(self.dataset.vocabularies.items)

    def windows(self, max_length: int) -> NDArray[np.int64]:
        """Cut the training events of each user into windows, the newest first, whose last event is a target::

            max_length 3, events [5, 2, 9, 4, 7]  ->  [[2, 9, 4, 7],
                                                       [0, 0, 5, 2]]

        Every event but the first of a user is a target once, as in `bst train`.

        Returns:
            int64 `[num_windows, max_length + 1]`, padded on the left with 0.
        """
        sequences, stops = self.dataset.sequences, self.dataset.split.train_stops
        offsets = sequences.offsets[:-1]
        counts = -(-np.maximum(stops - offsets - 1, 0) // max_length)
        users = np.repeat(np.arange(len(counts)), counts)
        last = stops[users] - ranges(np.zeros_like(counts), counts) * max_length
        slots, real = slots_of(np.maximum(last - max_length - 1, offsets[users]), last)
        items = np.where(real, sequences.items[slots], 0).astype(np.int64)
        return np.pad(items, ((0, 0), (max_length + 1 - items.shape[1], 0)))

    def measure(self, model: Ranked, examples: Examples, max_length: int) -> RankingMetrics:
        """Rank the whole catalogue for `examples` by the functions of `bst train`."""
        filter_seen, _ = filter_by(None, self.dataset.split.validation)
        return evaluate(cast(BST, model), examples, max_length, filter_seen=filter_seen)


class Ranked(nn.Module):
    """A rival's model as `bst.training.metrics.evaluate` reads it.

    Args:
        model: the module of the library, whose weights are kept.
        encode: gives user vectors `[batch, width]` of items int64 `[batch, length]`, padded on the left with 0.
        score: gives scores `[batch, num_items]` of user vectors; column j is item j + 1.
    """

    padding_counts = False

    def __init__(
        self, model: nn.Module, encode: Callable[[Tensor], Tensor], score: Callable[[Tensor], Tensor], num_items: int
    ) -> None:
        super().__init__()
        self.model, self.encode, self.score = model, encode, score
        self.item_embedding = SimpleNamespace(num_embeddings=num_items + 1)

    def user_vectors(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.encode(inputs["items"])

    def item_scores(self, user_vectors: Tensor) -> Tensor:
        return self.score(user_vectors)


@dataclass
class Progress:
    """The epochs of one training: each is measured and written when it ends, and the best weights are kept.

    Attributes:
        label: what stands in each line, such as the rival and the seed.
        path: JSON lines, one an epoch and one for the test; lines are added to a file that exists.
    """

    task: Task
    max_length: int
    limits: Limits
    label: dict[str, Any]
    path: Path
    best: RankingMetrics | None = None
    best_epoch: int = 0
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def after_epoch(self, model: Ranked, loss: float, rows: int, steps: int, seconds: float) -> bool:
        """Measure the validation users, and write a line.

        Args:
            loss: mean of the epoch, by the rival's own rule.
            rows: targets that were trained on, padding left out.
            steps: batches.
            seconds: of the training alone.

        Returns:
            whether the training ends here.
        """
        self.epoch += 1
        metrics = self.task.measure(model, self.task.dataset.split.validation, self.max_length)
        is_best = self.best is None or metrics.headline > self.best.headline
        if is_best:
            self.best, self.best_epoch = metrics, self.epoch
            self.weights = copy.deepcopy(model.state_dict())
        speed = {"rows": rows, "steps": steps, "seconds": seconds, "rows_per_s": rows / seconds}
        self._write(epoch=self.epoch, loss=loss, validation=metrics.to_dict(), **speed, load=os.getloadavg())
        shown = "  ".join(f"{value:.4f}" for value in (loss, *metrics.shown().values()))
        print(
            f"{self.label['rival']} {self.epoch}/{self.limits.epochs}  {shown}  {rows / seconds:,.0f} rows/s  "
            f"{seconds:.1f} s  {1000 * seconds / steps:.1f} ms a step  load {os.getloadavg()[0]:.1f}"
            + ("  best" if is_best else ""),
            flush=True,
        )
        minutes = (time.perf_counter() - self.started) / 60
        return (
            self.epoch >= self.limits.epochs
            or (self.limits.minutes is not None and minutes >= self.limits.minutes)
            or (self.limits.patience is not None and self.epoch - self.best_epoch >= self.limits.patience)
        )

    def test(self, model: Ranked) -> RankingMetrics:
        """Measure the test users with the best weights, and write the line."""
        model.load_state_dict(self.weights)
        metrics = self.task.measure(model, self.task.dataset.split.test, self.max_length)
        self._write(best_epoch=self.best_epoch, epochs=self.epoch, test=metrics.to_dict())
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.shown().items())
        print(f"{self.label['rival']} test, epoch {self.best_epoch} of {self.epoch}: {shown}", flush=True)
        return metrics

    def _write(self, **values: Any) -> None:
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({**self.label, **values}) + "\n")
