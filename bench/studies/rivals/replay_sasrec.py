"""SasRec of replay-rec: its module for Lightning, its reader of Parquet, and its transforms.

The settings are those of `examples/09_sasrec_example.ipynb` in its repository, since that notebook imports `replay.nn`:
width 64, 2 heads, 2 blocks, 50 events, dropout 0.3, batches of 32 windows, and the defaults of `OptimizerFactory`: Adam
at 1e-3 with betas 0.9 and 0.98. The notebook learns by the full cross-entropy, the default of `SasRec.from_params`, for
5 epochs. `sampled` is the library's own `CESampled`, and its transform that draws items for each batch, all alike;
their number is that of Klenitskiy & Vasilev (RecSys 2023), whom its README names. The notebook trains on the newest
window of each user alone; here it is all windows. In a window that is not full the library also predicts the first
event, from padding; rows are counted without these.
"""

from __future__ import annotations

import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from bench.studies.rivals.task import Limits, Progress, Ranked, Task
from bst.errors import InputError
from bst.system.files import temporary_folder

PACKAGE, INSTALLED = "replay-rec", "'replay-rec[torch]==0.22.0'"
NEEDS = ("replay", "lightning")
MODULE = "replay.nn.sequential"
MAX_LENGTH = 50
MODEL = {"embedding_dim": 64, "num_heads": 2, "num_blocks": 2, "max_sequence_length": MAX_LENGTH, "dropout": 0.3}
BATCH = 32
NEGATIVES = 3000
SAMPLED = "sampled"
LOSSES = (SAMPLED, "full")
SETTINGS = {**MODEL, "batch": BATCH, "negatives": NEGATIVES}


def train(task: Task, loss: str, seed: int, limits: Limits, progress: Progress) -> Ranked:
    """Train by Lightning, and return the model with its last weights."""
    lightning, callbacks = import_module("lightning"), import_module("lightning.pytorch.callbacks")

    warnings.filterwarnings("ignore", message=".*mismatched key_padding_mask")
    lightning.seed_everything(seed, verbose=False)
    schema, sampled = schema_of(task.num_items), loss == SAMPLED
    if sampled and task.num_items < NEGATIVES:
        raise InputError(f"{task.num_items:,} items are fewer than the {NEGATIVES:,} that are drawn; say --loss full")
    model = model_of(schema, sampled)
    ranked = Ranked(model, lambda items: encode(model, items, task.num_items), model.get_logits, task.num_items)
    counts = {"rows": 0, "steps": 0, "started": 0.0}

    def start(*_: Any) -> None:
        counts.update(rows=0, steps=0, started=time.perf_counter())

    def count(trainer: Any, module: Any, outputs: Any, batch: dict[str, Tensor], place: int) -> None:
        counts["rows"] += int((batch["target_padding_mask"][..., 0] & batch["padding_mask"]).sum())
        counts["steps"] += 1

    def end(trainer: Any, module: Any) -> None:
        seconds = time.perf_counter() - counts["started"]
        mean = float(trainer.callback_metrics["train_loss_epoch"])
        trainer.should_stop = progress.after_epoch(ranked, mean, int(counts["rows"]), int(counts["steps"]), seconds)

    watch = callbacks.LambdaCallback(on_train_epoch_start=start, on_train_batch_end=count, on_train_epoch_end=end)
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(
        max_epochs=limits.epochs,
        accelerator="cpu",
        callbacks=[watch],
        limit_train_batches=limits.steps,
        limit_val_batches=0,
        **dict.fromkeys(off, False),
    )
    module = import_module("replay.nn.lightning").LightningModule(model)
    with temporary_folder() as folder:
        trainer.fit(module, datamodule=reader_of(task, schema, sampled, folder / "windows.parquet"))
    return ranked


def schema_of(num_items: int) -> Any:
    """Describe the items: ids from 0, and the padding after the last."""
    data, tensors = import_module("replay.data"), import_module("replay.data.nn")

    item = tensors.TensorFeatureInfo(
        "item_id",
        is_seq=True,
        feature_type=data.FeatureType.CATEGORICAL,
        embedding_dim=MODEL["embedding_dim"],
        padding_value=num_items,
        cardinality=num_items,
        feature_hint=data.FeatureHint.ITEM_ID,
        feature_sources=[tensors.TensorFeatureSource(data.FeatureSource.INTERACTIONS, "item_id")],
    )
    return tensors.TensorSchema([item])


def model_of(schema: Any, sampled: bool) -> Any:
    """Build the library's model, with the full cross-entropy or the sampled one."""
    model = import_module(MODULE).SasRec.from_params(schema, **MODEL)
    if not sampled:
        return model
    return import_module(MODULE).SasRec(model.body, import_module("replay.nn.loss").CESampled())


def reader_of(task: Task, schema: Any, sampled: bool, path: Path) -> Any:
    """Write the windows as Parquet, a list of ids each, and return the library's module that reads them."""
    transform = import_module("replay.nn.transform")
    templates = import_module("replay.nn.transform.template")

    windows = task.windows(MAX_LENGTH)
    pl.DataFrame({"item_id": [row[row > 0] - 1 for row in windows]}).write_parquet(path)
    transforms = templates.make_default_sasrec_transforms(schema)["train"]
    if sampled:
        transforms = [*transforms, transform.UniformNegativeSamplingTransform(task.num_items, NEGATIVES)]
    shape = {"item_id": {"shape": MAX_LENGTH + 1, "padding": task.num_items}}
    with warnings.catch_warnings(action="ignore"):  # it warns that there is no file to validate or test on
        return import_module("replay.data.nn").ParquetModule(
            BATCH, {"train": shape}, {"train": transforms}, train_path=str(path)
        )


def encode(model: Any, items: Tensor, num_items: int) -> Tensor:
    """Return user vectors `[batch, width]` of items int64 `[batch, length]`, padded on the left with 0."""
    ids = torch.where(items > 0, items - 1, num_items)
    vectors: Tensor = model.body({"item_id": ids}, items > 0)[:, -1]
    return vectors
