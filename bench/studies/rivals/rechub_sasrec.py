"""SASRec of torch-rechub, trained by the library's `MatchTrainer`.

The library has no example script of SASRec. Its page on matching models builds it with 50 events, dropout 0.2, 2 blocks
and 4 heads. The rest is of `examples/matching/run_sbr.py`, its script for other models of sequences: width 100, batches
of 512, Adam at 1e-3 without weight decay, 30 epochs.

The trainer takes the model in none of its modes: the pair-wise loss takes one target a row, and the model gives one for
each place. `Flattened` hands over the real targets, flat. Histories are padded on the right, as `user_tower` of the
model reads them. A negative for each target is drawn anew for each epoch, all items alike.
"""

from __future__ import annotations

import time
from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.studies.rivals.task import Limits, Progress, Ranked, Task

PACKAGE, INSTALLED = "torch-rechub", "torch-rechub==0.9.0"
NEEDS = ("torch_rechub",)
MODULE = "torch_rechub.models.matching"
MAX_LENGTH = 50
WIDTH = 100
MODEL = {"max_len": MAX_LENGTH, "dropout_rate": 0.2, "num_blocks": 2, "num_heads": 4}
BATCH = 512
OPTIMIZER = {"lr": 1e-3, "weight_decay": 0}
LOSSES = ("pair-wise",)
SETTINGS = {**MODEL, **OPTIMIZER, "width": WIDTH, "batch": BATCH}


class Flattened(nn.Module):
    """The library's model with the logits of real targets alone: two of `[num_targets]`, positive and negative."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.rows, self.steps = model, 0, 0

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        positive, negative = self.model(inputs)
        real = inputs["pos"] > 0
        self.rows, self.steps = self.rows + int(real.sum()), self.steps + 1
        return positive[real], negative[real]


def train(task: Task, loss: str, seed: int, limits: Limits, progress: Progress) -> Ranked:
    """Train an epoch at a time, by the one `loss` that there is, and return the model with its last weights."""
    trainers, data = import_module("torch_rechub.trainers"), import_module("torch_rechub.utils.data")

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    flattened = Flattened(model_of(task.num_items))
    model = flattened.model
    table = model.item_emb.embed_dict["seq"]
    ranked = Ranked(model, lambda items: encode(model, items), lambda users: users @ table.weight[1:].T, task.num_items)
    trainer = trainers.MatchTrainer(flattened, mode=1, optimizer_params=OPTIMIZER)
    inputs = inputs_of(task.windows(MAX_LENGTH))
    histories = {"seq": inputs["seq"]}
    loader, _, _ = data.MatchDataGenerator(inputs, np.zeros(len(inputs["seq"]))).generate_dataloader(
        histories, histories, batch_size=BATCH, num_workers=0
    )
    ends = False
    while not ends:
        flattened.rows = flattened.steps = 0
        started = time.perf_counter()
        inputs["neg"][:] = np.where(inputs["pos"] > 0, rng.integers(1, task.num_items + 1, inputs["pos"].shape), 0)
        mean = trainer.train_one_epoch(islice(loader, limits.steps))
        seconds = time.perf_counter() - started
        ends = progress.after_epoch(ranked, mean, flattened.rows, flattened.steps, seconds)
    return ranked


def model_of(num_items: int) -> Any:
    """Build the library's model."""
    features = import_module("torch_rechub.basic.features")

    shared = {"seq": None, "pos": "seq", "neg": "seq"}
    columns = [
        features.SequenceFeature(
            name, vocab_size=num_items + 1, embed_dim=WIDTH, pooling="concat", shared_with=other, padding_idx=0
        )
        for name, other in shared.items()
    ]
    return import_module(MODULE).SASRec(columns, **MODEL)


def inputs_of(windows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the model's inputs of windows padded on the left, by name: int64 `[num_windows, max_length]` each.

    `seq` and `pos` are padded on the right with 0; `neg` is zero, to be filled.
    """
    rows = right_padded(torch.from_numpy(windows)).numpy()
    positive = rows[:, 1:].copy()
    return {"seq": np.where(positive > 0, rows[:, :-1], 0), "pos": positive, "neg": np.zeros_like(positive)}


def right_padded(items: Tensor) -> Tensor:
    """Move the padding of items int64 `[batch, length]` from the left to the right."""
    length = items.size(1)
    padding = length - (items > 0).sum(dim=1, keepdim=True)
    return items.gather(1, (torch.arange(length) + padding) % length)


def encode(model: Any, items: Tensor) -> Tensor:
    """Return user vectors `[batch, width]` of items int64 `[batch, length]`, padded on the left with 0."""
    histories = nn.functional.pad(right_padded(items), (0, MAX_LENGTH - items.size(1)))
    vectors: Tensor = model.user_tower({"seq": histories})[:, 0]
    return vectors
