"""From a table of interactions to a run: the road that `bst train` and `bst evaluate` take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bst.checkpoint import (
    SCHEMA_VERSION,
    Heldout,
    Run,
    RunConfig,
    library_versions,
    save_metrics,
    save_run,
    save_weights,
)
from bst.config import BSTConfig, ContextFeature, Settings
from bst.data import Interactions
from bst.errors import InputError
from bst.files import require_new
from bst.metrics import RankingMetrics, evaluate
from bst.model import BST
from bst.sequences import Examples, Sequences, Split, TrainingWindows, fit_vocabularies, leave_one_out, to_sequences
from bst.trainer import EpochReport, Progress, Trainer
from bst.vocabulary import Vocabularies

HELDOUT_ROWS = 512


@dataclass(frozen=True)
class Dataset:
    """Interactions as a model sees them: indices, split, and the vocabularies that lead back."""

    sequences: Sequences
    split: Split
    vocabularies: Vocabularies

    @classmethod
    def build(cls, interactions: Interactions, vocabularies: Vocabularies | None = None) -> Dataset:
        """Index and split; the vocabularies are fitted unless those of a trained model are given."""
        vocabularies = vocabularies or fit_vocabularies(interactions)
        sequences = to_sequences(interactions, vocabularies)
        return cls(sequences, leave_one_out(sequences), vocabularies)


@dataclass(frozen=True)
class TrainingResult:
    """Metrics of the best epoch on the validation and on the test targets."""

    validation: RankingMetrics
    test: RankingMetrics


def train(
    dataset: Dataset,
    settings: Settings,
    out: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> TrainingResult:
    """Train a model on `dataset` and write it as the run `out`.

    The run appears after the first epoch and is whole from then on: weights and metrics are replaced atomically, the
    weights only by better ones. The same seed, data, machine and number of threads give the same weights.

    Raises:
        InputError: `out` exists, the device is not there, or there is nothing to train on.
        CheckError: the loss became NaN; what the run holds stays.
    """
    require_new(out, "the run")
    require_device(device)
    torch.manual_seed(settings.training.seed)
    config = model_config(settings, dataset.vocabularies)
    model = BST(config)
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, config.max_length)
    trainer = Trainer(model, windows, dataset.split.validation, settings.training, device=device, progress=progress)

    def keep(report: EpochReport) -> None:
        lines = tuple(one.to_dict() for one in trainer.reports)
        if report.epoch == 1:
            run_config = RunConfig(
                schema_version=SCHEMA_VERSION,
                model=config,
                training=settings.training,
                data=settings.data,
                versions=library_versions("polars"),
            )
            heldout = _heldout(dataset.split.test, config.max_length, settings.training.seed)
            save_run(out, Run(model, run_config, dataset.vocabularies, heldout, lines))
        elif report.best:
            save_weights(out, model)
        save_metrics(out, lines)
        on_epoch(report)

    validation = trainer.fit(keep)
    test = evaluate(
        model,
        dataset.split.test,
        config.max_length,
        filter_seen=settings.training.filter_seen,
        device=device,
    )
    return TrainingResult(validation, test)


def model_config(settings: Settings, vocabularies: Vocabularies) -> BSTConfig:
    """Join the architecture that was chosen with the sizes that the data gives."""
    context = tuple(
        ContextFeature(name=name, num_categories=len(one), dim=settings.model.context_dim)
        for name, one in vocabularies.context.items()
    )
    return BSTConfig(**settings.model.model_dump(), num_items=len(vocabularies.items), context=context)


def require_device(device: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises:
        InputError: names the device and what is there.
    """
    try:
        if device.split(":")[0] not in ("cpu", "cuda"):
            raise RuntimeError(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        there = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"device {device!r} is not available here; available: {there}") from None


def _heldout(examples: Examples, max_length: int, seed: int) -> Heldout:
    rows = np.random.default_rng(seed).permutation(len(examples))[:HELDOUT_ROWS]
    batch = examples.batch(rows, max_length)
    return Heldout(torch.nn.functional.pad(batch.items, (max_length - batch.items.size(1), 0)), batch.context)
