"""A run with random weights, of any size, without training: for measuring what size costs.

    python -m bench.random_model OUT num_items=1000000 dim=64

Settings are those of `[model]` in a `train.toml`, `num_items`, `context=NAME:CATEGORIES,...` and `text_ids=true`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import torch

from bst.checkpoint import SCHEMA_VERSION as RUN_SCHEMA
from bst.checkpoint import Heldout, Run, RunConfig, library_versions, save_run
from bst.config import Architecture, BSTConfig, ContextFeature, DataConfig, TrainConfig
from bst.errors import InputError
from bst.model import BST
from bst.validation import validated
from bst.vocabulary import Vocabularies, Vocabulary

USERS = 64


def write_random_run(out: Path, config: BSTConfig, *, text_ids: bool = False, seed: int = 0) -> None:
    """Write a run of `config` with freshly initialised weights, sparse item ids (int64 or text) and Zipf histories.

    Raises:
        InputError: `out` exists or cannot be written.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(1, 2**40, config.num_items + config.num_items // 8 + 16))
    chosen = pl.Series("id", rng.permutation(ids)[: config.num_items])
    items = Vocabulary((chosen.cast(pl.String) if text_ids else chosen).sort())
    context = {one.name: Vocabulary(pl.Series("id", range(1, one.num_categories + 1))) for one in config.context}
    histories = (rng.zipf(1.2, (USERS, config.max_length)) - 1) % config.num_items + 1
    lengths = rng.integers(1, config.max_length + 1, USERS)
    histories[np.arange(config.max_length) < config.max_length - lengths[:, None]] = 0
    contexts = [rng.integers(1, one.num_categories + 1, USERS) for one in config.context]
    stacked = np.stack(contexts, axis=1) if contexts else np.zeros((USERS, 0), dtype=np.int64)
    settings = RunConfig(
        schema_version=RUN_SCHEMA,
        model=config,
        training=TrainConfig(),
        data=DataConfig(context=tuple(context)),
        versions=library_versions(),
    )
    heldout = Heldout(torch.from_numpy(histories), torch.from_numpy(stacked))
    save_run(out, Run(BST(config).eval(), settings, Vocabularies(items, context), heldout, ()))


def parse_config(settings: list[str]) -> BSTConfig:
    """Read `NAME=VALUE` settings of an architecture with `num_items` and `context`.

    Raises:
        InputError: a setting is not known or does not fit; all offenders are named.
    """
    values = dict(setting.partition("=")[::2] for setting in settings)
    context = [part.partition(":") for part in values.pop("context", "").split(",") if part]
    try:
        given = {name: tomllib.loads(f"value = {text}")["value"] for name, text in values.items()}
        features = [(name, int(count)) for name, _, count in context]
    except (tomllib.TOMLDecodeError, ValueError):
        raise InputError(f"settings {' '.join(settings)} are not NAME=VALUE pairs such as dim=64") from None
    num_items = given.pop("num_items", 50_000)
    sizes = validated(Architecture, given, "random model")
    context_features = tuple(
        ContextFeature(name=name, num_categories=count, dim=sizes.context_dim) for name, count in features
    )
    whole = {**sizes.model_dump(), "num_items": num_items, "context": context_features}
    return validated(BSTConfig, whole, "random model")


if __name__ == "__main__":
    try:
        wanted = [setting for setting in sys.argv[2:] if setting != "text_ids=true"]
        write_random_run(Path(sys.argv[1]), parse_config(wanted), text_ids=wanted != sys.argv[2:])
    except (IndexError, InputError) as error:
        sys.exit(f"error: {error or __doc__}")
