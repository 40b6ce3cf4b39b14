"""Kinds of demo, by the task of the model: settings whose sizes were chosen by their time, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.demo.households import Household, likeliest, recommendations
from bench.record.record import BenchConfig
from bst.config import Architecture, DataConfig, Settings, TrainConfig
from bst.run.dataset import Dataset
from bst.system.registry import Registry

CONTEXT = ("age", "income", "household_size", "kids_count")
DATA = DataConfig(
    user_column="household_id",
    item_column="product_id",
    time_column="time",
    name_column="name",
    context=CONTEXT,
)
BENCH = BenchConfig(
    backends=("eager", "torchscript", "onnxruntime"),
    launches=3,
    rounds=2,
    round_seconds=0.1,
    warm_windows=5,
    speed_seconds=0.1,
    max_pool=32,
)


@dataclass(frozen=True)
class Kind:
    """A kind of demo.

    Attributes:
        name: the task of its model.
        kept: the purchases that are read.
        training: how the model is trained, in words.
        households: what the bundle says of a few households.
    """

    name: str
    settings: Settings
    bench: BenchConfig
    kept: pl.Expr
    training: str
    households: Callable[[Path, Dataset], list[Household]]


KINDS = Registry(
    "task",
    (
        Kind(
            "next_item",
            Settings(
                model=Architecture(dim=48, num_blocks=1, ff_width=96, head_widths=(), dropout=0.1),
                training=TrainConfig(
                    epochs=2,
                    batch_events=1000,
                    loss="sampled_softmax",
                    num_negatives=512,
                    learning_rate=6e-3,
                ),
                data=DATA,
            ),
            BENCH,
            pl.lit(value=True),
            "every purchase predicted from those before it",
            recommendations,
        ),
        Kind(
            "click",
            Settings(
                model=Architecture(
                    task="click",
                    dim=48,
                    num_heads=4,
                    num_blocks=1,
                    ff_width=96,
                    head_widths=(64,),
                    max_length=30,
                    places="none",
                    event_times="to_next",
                    dropout=0.1,
                ),
                training=TrainConfig(epochs=2, batch_events=1000, learning_rate=4e-3),
                data=DATA.model_copy(update={"item_features": ("category", "brand")}),
            ),
            BENCH.model_copy(update={"signature": "score_candidates"}),
            # All prefixes of a history are trained with candidates of their own: a quarter is what fits the time.
            pl.col("time").dt.quarter() == 4,
            "every purchase told from a drawn product, by the purchases of the last quarter before it",
            likeliest,
        ),
    ),
)
