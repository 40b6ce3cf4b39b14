"""torch-rechub's BST on the rows of a dataset, trained by that library's own trainer, for the study of clicks.

Each training event is two rows or more of the library's form: its history, padded on the left, a candidate, the context
and a label. The negatives follow the rule of `bst.training.negatives`, drawn once, as its users do.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bst import Dataset, Settings
from bst.data.batches import Examples
from bst.data.windows import TrainingWindows
from bst.run.pipeline import model_config
from bst.training.negatives import Negatives

BATCH = 1024


@dataclass(frozen=True)
class Trained:
    """A trained contestant.

    Attributes:
        score: gives logits of candidates int64 `[len(examples), n]`, float64 of the same shape.
        seconds: of the training, validation included.
        epochs: how many it was trained; `best` is the one that was kept, None if the trainer does not say.
    """

    score: Callable[[Examples, NDArray[np.int64]], NDArray[np.float64]]
    seconds: float
    epochs: int
    best: int | None


def training_examples(dataset: Dataset) -> Examples:
    """Return every training event but the first of each user as an example."""
    offsets, stops = dataset.sequences.offsets[:-1], dataset.split.train_stops
    counts = np.maximum(stops - offsets - 1, 0)
    users = np.repeat(np.arange(len(counts)), counts)
    targets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + offsets[users] + 1
    return Examples(dataset.sequences, users, targets)


def rows_of(
    dataset: Dataset, examples: Examples, candidates: NDArray[np.int64], max_length: int
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.float32]]:
    """Write each candidate of each example as a row of the library: inputs by name, and labels."""
    batch = examples.batch(slice(None), max_length)
    items = np.zeros((len(examples), max_length), dtype=np.int64)
    items[:, max_length - batch.items.shape[1] :] = batch.items.numpy()
    number = candidates.shape[1]
    inputs = {"history_item": np.repeat(items, number, axis=0), "item": candidates.reshape(-1)}
    for name, values in dataset.item_features.items():
        table = values.values[:, 0].astype(np.int64)
        inputs |= {f"history_{name}": table[inputs["history_item"]], name: table[inputs["item"]]}
    for column, name in enumerate(dataset.vocabularies.context):
        inputs[name] = np.repeat(batch.context[:, column].numpy(), number)
    labels = np.zeros(candidates.shape, dtype=np.float32)
    labels[:, 0] = 1
    return inputs, labels.reshape(-1)


def rechub_model(dataset: Dataset, settings: Settings) -> Any:
    """Build the library's model at the sizes of `settings`; its feed-forward layer is 2,048 wide, whatever they say."""
    features, ranking = import_module("torch_rechub.basic.features"), import_module("torch_rechub.models.ranking")

    model, vocabularies = model_config(settings, dataset), dataset.vocabularies
    feature_width = model.feature_dim or model.dim
    sizes = {"item": (len(vocabularies.items) + 1, model.dim - (model.feature_dim or 0) * len(dataset.item_features))}
    for name, values in dataset.item_features.items():
        sizes[name] = (len(values.vocabulary) + 1, feature_width)
    targets = [
        features.SparseFeature(name, vocab_size=count, embed_dim=width) for name, (count, width) in sizes.items()
    ]
    history = [
        features.SequenceFeature(
            f"history_{name}", vocab_size=count, embed_dim=width, pooling="concat", shared_with=name
        )
        for name, (count, width) in sizes.items()
    ]
    context = [
        features.SparseFeature(name, vocab_size=len(vocabulary) + 1, embed_dim=model.context_dim)
        for name, vocabulary in vocabularies.context.items()
    ]
    mlp = {"dims": list(model.head_widths), "dropout": model.dropout, "activation": "leakyrelu"}
    return ranking.BST(
        features=context,
        history_features=history,
        target_features=targets,
        mlp_params=mlp,
        nhead=model.num_heads,
        dropout=model.dropout,
        num_layers=model.num_blocks,
        max_seq_len=model.max_length + 1,
    )


def train_rechub(dataset: Dataset, settings: Settings, seed: int) -> Trained:
    """Train by the library's trainer with its defaults: Adam 1e-3; it stops where validation AUC stops to rise."""
    trainers, data = import_module("torch_rechub.trainers"), import_module("torch_rechub.utils.data")

    torch.manual_seed(seed)
    max_length, number = settings.model.max_length, settings.training.negatives_per_event
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, max_length)
    counts = windows.item_counts(len(dataset.vocabularies.items))
    negatives = Negatives(counts, settings.training.negatives)
    examples, validation = training_examples(dataset), dataset.split.validation
    inputs, labels = rows_of(dataset, examples, negatives.beside(examples, number, seed), max_length)
    held_out = rows_of(dataset, validation, negatives.beside(validation, number, settings.training.seed), max_length)
    generator = data.DataGenerator(inputs, labels)
    train_rows, validation_rows, _ = generator.generate_dataloader(
        x_val=held_out[0], y_val=held_out[1], x_test=held_out[0], y_test=held_out[1], batch_size=BATCH
    )
    model = rechub_model(dataset, settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainers.CTRTrainer(
            model, n_epoch=settings.training.epochs, earlystop_patience=settings.training.epochs, model_path=folder
        )
        started = time.perf_counter()
        trainer.fit(train_rows, validation_rows)
        seconds = time.perf_counter() - started
    if trainer.early_stopper.best_weights is not None:
        model.load_state_dict(trainer.early_stopper.best_weights)
    model.eval()

    @torch.no_grad()
    def score(examples: Examples, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        rows, _ = rows_of(dataset, examples, candidates, max_length)
        parts = []
        for start in range(0, len(rows["item"]), BATCH):
            chances = model({name: torch.from_numpy(values[start : start + BATCH]) for name, values in rows.items()})
            parts.append(torch.logit(chances.double(), eps=1e-7))
        return torch.cat(parts).reshape(candidates.shape).numpy()

    return Trained(score, seconds, settings.training.epochs, None)
