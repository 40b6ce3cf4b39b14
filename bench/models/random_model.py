"""A run with random weights, of any size, without training, for measuring the cost of size.

    python -m bench.models.random_model OUT num_items=1000000 dim=64

Settings are those of `[model]` in a `train.toml`, `num_items`, `context=NAME:CATEGORIES,...`,
`event_features=NAME:CATEGORIES,...`, `numbers=NAME,...`, `text_ids=true`, and `median_length=8` for histories most of
which are short. Or `like=RUN` and `num_items` alone: see
`bench.models.grown_model`.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from bench.models.grown_model import cut, grown
from bst.config import (
    Architecture,
    BSTConfig,
    ContextFeature,
    DataConfig,
    EventFeature,
    Number,
    TrainConfig,
)
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import InputError
from bst.model import BST, make_model
from bst.run.folder import SCHEMA_VERSION as RUN_SCHEMA
from bst.run.folder import Run, RunConfig, library_versions, load_run, read_run_config, save_run
from bst.run.heldout import Heldout, made_up
from bst.system.text import split_list
from bst.system.validation import validated

USERS = 64


@dataclass(frozen=True)
class RandomModel:
    """The sizes of a random model.

    Attributes:
        config: its sizes.
        median_length: of the histories, whose lengths then follow a log-normal law; without it they are uniform.
        text_ids: of items; else they are numbers.
        like: the run whose weights it has, but for the items that the run lacks.
    """

    config: BSTConfig
    median_length: int | None = None
    text_ids: bool = False
    like: Path | None = None


def write_random_run(out: Path, sizes: RandomModel, *, seed: int = 0) -> None:
    """Write a run with freshly initialised weights, sparse item ids and Zipf histories, or one `like` another.

    Raises:
        InputError: `out` exists or cannot be written.
    """
    if sizes.like:
        like = load_run(sizes.like).folded()
        save_run(out, cut(grown(like, sizes.config.num_items, seed), sizes.median_length, seed))
        return
    config, text_ids = sizes.config, sizes.text_ids
    config.require_memory(2)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(1, 2**40, config.num_items + config.num_items // 8 + 16))
    chosen = pl.Series("id", rng.permutation(ids)[: config.num_items])
    items = Vocabulary((chosen.cast(pl.String) if text_ids else chosen).sort())
    context, events = (
        {feature.name: Vocabulary(pl.Series("id", range(1, feature.num_categories + 1))) for feature in features}
        for features in (config.context, config.event_features)
    )
    histories = (rng.zipf(1.2, (USERS, config.max_length)) - 1) % config.num_items + 1
    if sizes.median_length is None:
        lengths = rng.integers(1, config.max_length + 1, USERS)
        histories[np.arange(config.max_length) < config.max_length - lengths[:, None]] = 0
    contexts = [rng.integers(1, feature.num_categories + 1, USERS) for feature in config.context]
    stacked = np.stack(contexts, axis=1) if contexts else np.zeros((USERS, 0), dtype=np.int64)
    settings = RunConfig(
        schema_version=RUN_SCHEMA,
        model=config,
        training=TrainConfig(),
        data=DataConfig(
            context=tuple(context),
            event_features=tuple(events),
            numbers=tuple(number.name for number in config.numbers),
        ),
        versions=library_versions(),
    )
    beside = {name: values[:USERS] for name, values in made_up(config).beside.items()}
    heldout = Heldout(torch.from_numpy(histories), torch.from_numpy(stacked), None, beside)
    model = _with_events(make_model(config)).eval()
    run = Run(model, settings, Vocabularies(items, context, events=events), heldout, ())
    save_run(out, cut(run, sizes.median_length, seed))


def _with_events(model: BST) -> BST:
    """Give the vectors of event features and times random values: a model begins with zeros."""
    if model.event_embedding is not None:
        torch.nn.init.normal_(model.event_embedding.weight, std=0.1)
    return model


def parse_model(settings: list[str]) -> RandomModel:
    """Read `NAME=VALUE` settings, see above.

    Raises:
        InputError: a setting is unknown or does not fit; the message lists all of them.
    """
    values = dict(setting.partition("=")[::2] for setting in settings)
    if len(values) < len(settings):
        raise InputError(f"settings {' '.join(settings)} name one twice; once is enough")
    like = values.pop("like", None)
    listed = {
        name: [part.partition(":") for part in split_list(values.pop(name, ""))]
        for name in ("context", "event_features", "numbers")
    }
    try:
        values_given = {name: _read(text) for name, text in values.items()}
        features = [(name, int(count)) for name, _, count in listed["context"]]
        event_features = [(name, int(count)) for name, _, count in listed["event_features"]]
    except (tomllib.TOMLDecodeError, ValueError):
        raise InputError(f"settings {' '.join(settings)} are not NAME=VALUE pairs such as dim=64") from None
    num_items, median_length = values_given.pop("num_items", 50_000), values_given.pop("median_length", None)
    text_ids = values_given.pop("text_ids", False)
    for name, value in (("num_items", num_items), ("median_length", median_length or 1)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value} is not a number from 1 up")
    if like is not None:
        if values_given or features or text_ids:
            raise InputError(
                f"{', '.join([*values_given, *dict(features)] or ['text_ids'])}: those are of the run in like="
            )
        model = read_run_config(Path(like)).model
        if num_items < model.num_items:
            raise InputError(f"num_items={num_items} is less than the {model.num_items} that {like} knows")
        plain = model.model_copy(update={"num_items": num_items, "item_features": ()})
        return RandomModel(plain, median_length, like=Path(like))
    sizes = validated(Architecture, values_given, "random model")
    context_features = tuple(
        validated(ContextFeature, {"name": name, "num_categories": count, "dim": sizes.context_dim}, "random model")
        for name, count in features
    )
    whole = {
        **sizes.model_dump(exclude_none=True),
        "num_items": num_items,
        "context": context_features,
        "event_features": tuple(EventFeature(name=name, num_categories=count) for name, count in event_features),
        "numbers": tuple(Number(name=name, mean=0.0, deviation=1.0) for name, _, _ in listed["numbers"]),
    }
    return RandomModel(validated(BSTConfig, whole, "random model"), median_length, text_ids)


def _read(text: str) -> Any:
    """Read a value of TOML; a word is a text."""
    return text if text.isidentifier() and text not in ("true", "false") else tomllib.loads(f"value = {text}")["value"]


if __name__ == "__main__":
    try:
        write_random_run(Path(sys.argv[1]), parse_model(sys.argv[2:]))
    except (IndexError, InputError) as error:
        sys.exit(f"error: {error or __doc__}")
