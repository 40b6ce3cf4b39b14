"""Random models, vocabularies, settings and calls: what the property tests walk the whole road with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import torch
from hypothesis import strategies as st

from bst.config import (
    BSTConfig,
    CandidateFeature,
    ContextFeature,
    DataConfig,
    EventFeature,
    HeadActivation,
    ItemFeature,
    ItemNumber,
    Number,
    TrainConfig,
)
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.model import make_model
from bst.run.folder import SCHEMA_VERSION, Heldout, Run, RunConfig, library_versions, save_run
from bst.run.heldout import made_up
from export.contract.settings import OPSETS, ExportSettings
from export.contract.signatures import TopK
from export.proof.edges import OUT_OF_RANGE, edge_categories, edge_values
from export.proof.golden import Call

IDS = ("dense", "sparse", "extreme", "text")
NOISE, LITTLE_NOISE = 0.1, 0.02  # the deviation of what is added to weights
LAYOUTS = ("left", "middle", "right", "nothing real", "nothing padded")
FORMATS = ("onnx", "torchscript", "pt2")


@dataclass(frozen=True)
class Road:
    """One example: a model of these sizes with ids of these kinds, exported so, and asked what `seed` draws."""

    config: BSTConfig
    settings: ExportSettings
    item_ids: str
    category_ids: tuple[str, ...]
    seed: int


def numbered(most: int, counts: tuple[int, ...], of: Callable[[int, int], Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw so many features, of place and of 1 to `most` categories."""

    def features(count: int) -> st.SearchStrategy[tuple[Any, ...]]:
        sizes = st.lists(st.integers(1, most), min_size=count, max_size=count)
        return sizes.map(lambda drawn: tuple(of(place, size) for place, size in enumerate(drawn)))

    return st.sampled_from(counts).flatmap(features)


@st.composite
def inputs(draw: st.DrawFn, *, counted: bool) -> dict[str, Any]:
    """Draw what stands beside the items; their fields added, or side by side."""
    times = ("none",) if counted else ("none", "to_next", "to_request")
    of_items, numbers_of_items, numbers = draw(st.sampled_from(((0, 0, 0), (0, 0, 1), (1, 0, 0), (2, 1, 2))))
    return {
        "event_times": draw(st.sampled_from(times)),
        "event_features": draw(
            numbered(30, (0, 0, 1, 3), lambda place, size: EventFeature(name=f"event_{place}", num_categories=size))
        ),
        "context": draw(
            numbered(
                40,
                (0, 1, 2, 6),
                lambda place, size: ContextFeature(name=f"feature_{place}", num_categories=size, dim=1 + size % 12),
            )
        ),
        "numbers": tuple(
            Number(name=f"number_{place}", mean=draw(st.sampled_from((0.0, -3.5, 1e6))), deviation=10.0**place)
            for place in range(numbers)
        ),
        "item_features": tuple(
            ItemFeature(name=f"of_item_{place}", num_categories=3, num_values=1 + place) for place in range(of_items)
        ),
        "item_numbers": tuple(
            ItemNumber(name=f"size_{place}", mean=0.0, deviation=1.0) for place in range(numbers_of_items)
        ),
        "feature_dim": draw(st.sampled_from((None, None, 1, 3))),
        "place_dim": draw(st.sampled_from((None, None, 1, 3))),
    }


@st.composite
def of_other_libraries(draw: st.DrawFn, beside: dict[str, Any]) -> dict[str, Any]:
    """Draw what only click models of other libraries have; their tables are folded."""
    if beside["item_features"] or beside["item_numbers"] or beside["feature_dim"] or beside["place_dim"]:
        return {}
    features = draw(st.sampled_from((0, len(beside["event_features"]))))
    return {
        "candidate_features": tuple(
            CandidateFeature(name=f"of_candidate_{place}", num_categories=1 + place) for place in range(features)
        ),
        "candidate_vectors": draw(st.sampled_from(("shared", "own"))),
        "unknown_items": draw(st.sampled_from(("absent", "row"))),
        "longer_histories": draw(st.sampled_from(("newest", "oldest"))),
        "head_activations": (draw(st.sampled_from(get_args(HeadActivation))),),
    }


@st.composite
def roads(draw: st.DrawFn) -> Road:
    """Draw an example. Sizes of one, odd sizes and sizes beyond a batch or a page are among them."""
    num_heads = draw(st.integers(1, 8), label="num_heads")
    num_items = draw(st.one_of(st.integers(1, 12), st.integers(13, 3000)), label="num_items")
    click = draw(st.sampled_from((False, False, True)), label="click")
    tied = not click and draw(st.booleans(), label="tied_output")
    counted = not click and draw(st.sampled_from((False, False, False, True)), label="padding counts")
    num_blocks = draw(st.integers(1, 4), label="num_blocks")
    norm = draw(st.sampled_from(("post", "post", "none")))
    if click and num_blocks > 2:  # without norms, random weights give attention logits that float32 cannot tell apart
        norm = "post"
    poolings = ("target", "target", "mean", "sum") if click else ("last", "last", "mean", "sum")
    beside = draw(inputs(counted=counted))
    taken = -BSTConfig.model_construct(**beside, dim=0).id_dim  # columns of fields other than the item
    head_dim = draw(st.integers(taken // num_heads + 1, max(96, 2 * taken) // num_heads + 1), label="head_dim")
    config = BSTConfig(
        **beside,
        **(draw(of_other_libraries(beside)) if click else {}),
        task="click" if click else "next_item",
        num_items=num_items,
        dim=num_heads * head_dim,
        mask="causal" if counted else draw(st.sampled_from(("causal", "causal", "full"))),
        num_heads=num_heads,
        num_blocks=num_blocks,
        ff_width=draw(st.integers(1, 64), label="ff_width"),
        max_length=draw(st.one_of(st.integers(1, 9), st.integers(10, 200)), label="max_length"),
        head_widths=tuple(draw(st.lists(st.integers(1, 70), min_size=0 if tied or click else 1, max_size=3))),
        pooling="mean" if counted else draw(st.sampled_from(poolings)),
        places="newest" if counted else draw(st.sampled_from(("newest", "newest", "oldest", "none"))),
        place_vectors=draw(st.sampled_from(("sinusoidal", "learned"))),
        activation=draw(st.sampled_from(("relu", "leaky_relu", "gelu"))),
        norm=norm,
        norm_epsilon=draw(st.sampled_from((1e-5, 1e-8, 1e-3))),
        residual=draw(st.sampled_from((True, True, False))),
        attention_biases=draw(st.booleans()),
        padding="counted" if counted else "ignored",
        tied_output=tied,
    )
    settings = ExportSettings(
        formats=FORMATS,
        ids=draw(st.sampled_from(("raw", "raw", "index"))),
        top_k=TopK(
            limit=draw(st.integers(1, min(num_items, 20))),
            k_is_input=draw(st.booleans()),
            exclude_history=draw(st.booleans()),
        ),
        opset=draw(st.sampled_from(OPSETS)),
        shortlist=draw(st.booleans()),
    )
    categories = (*config.context, *config.event_features, *config.candidate_features)
    kinds = tuple(draw(st.sampled_from(IDS)) for _ in categories)
    return Road(config, settings, draw(st.sampled_from(IDS)), kinds, draw(st.integers(0, 2**32 - 1), label="seed"))


def write_run(road: Road, folder: Path) -> Run:
    """Write a run whose weights are random in every place, those that training starts at 0 or 1 included."""
    rng = np.random.default_rng(road.seed)
    torch.manual_seed(road.seed)
    model = make_model(road.config).eval()
    # Without norms numbers grow from block to block, until eager float32 is off by more than is allowed of a format.
    grows = road.config.norm == "none" and road.config.num_blocks > 2
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (LITTLE_NOISE if grows else NOISE))
        model.item_embedding.weight[0] = 0  # padding
        if model.item_features is not None:
            for place, feature in enumerate(road.config.item_features):
                values = model.item_features.get_buffer(f"values_{place}")
                values.copy_(torch.randint(0, feature.num_categories + 1, values.shape))
    kinds = iter(road.category_ids)
    context, events, of_candidates = (
        {feature.name: vocabulary(next(kinds), feature.num_categories, rng) for feature in features}
        for features in (road.config.context, road.config.event_features, road.config.candidate_features)
    )
    items = vocabulary(road.item_ids, road.config.num_items, rng)
    vocabularies = Vocabularies(items, context, events=events, candidate_features=of_candidates)
    heldout = Heldout(
        torch.from_numpy(histories(road.config, 16, road.config.max_length, rng, strangers=False)),
        torch.from_numpy(contexts(road.config, 16, rng, strangers=False)),
        None,
        {name: values[:16] for name, values in made_up(road.config).beside.items()},
    )
    settings = RunConfig(
        schema_version=SCHEMA_VERSION,
        model=road.config,
        training=TrainConfig(),
        data=DataConfig(
            context=tuple(vocabularies.context),
            event_features=tuple(vocabularies.events),
            numbers=tuple(number.name for number in road.config.numbers),
            item_features=tuple(feature.name for feature in road.config.item_features),
            item_numbers=tuple(number.name for number in road.config.item_numbers),
        ),
        versions=library_versions(),
    )
    of_items = {one.name: vocabulary("dense", one.num_categories, rng) for one in road.config.item_features}
    run = Run(model, settings, replace(vocabularies, item_features=of_items), heldout, ())
    save_run(folder, run)
    return run.folded()


def vocabulary(kind: str, count: int, rng: np.random.Generator) -> Vocabulary:
    """Make up `count` ids: from 1 up, spread over 64 bits, at their ends and around 0, or text in several scripts."""
    if kind == "text":
        words = ("item", "café", "товар", "商品", "a b", "🎧", "0", "-1")
        made: Any = {f"{words[number % len(words)]} {number}" for number in range(count)}
        return Vocabulary.fit(pl.Series(sorted(made)))
    if kind == "dense":
        return Vocabulary.fit(pl.Series(range(1, count + 1), dtype=pl.Int64))
    if kind == "extreme":
        ends = [0, -1, 2**63 - 1, -(2**63), 2**63 - 2, -(2**63) + 1, 1]
        made = [*ends, *range(2, count)][:count]
        return Vocabulary.fit(pl.Series(made, dtype=pl.Int64))
    spread = np.unique(rng.integers(-(2**62), 2**62, 2 * count + 8))
    return Vocabulary.fit(pl.Series(rng.permutation(spread)[:count], dtype=pl.Int64))


def calls(road: Road) -> list[Call]:
    """Draw what is asked: batches of 1 to 9 rows of every layout, of lengths around and beyond the longest."""
    rng = np.random.default_rng(road.seed + 1)
    longest, limit = road.config.max_length, road.settings.top_k.limit
    made = []
    for number in range(5):
        batch, n = int(rng.integers(1, 10)), int(rng.integers(1, 40))
        length = int(rng.choice([1, longest, longest + 1, rng.integers(1, 2 * longest + 3)]))
        candidates = rng.integers(-1, road.config.num_items + 3, (batch, n))
        candidates[candidates > road.config.num_items] = OUT_OF_RANGE
        items = histories(road.config, batch, length, rng, strangers=True)
        context = contexts(road.config, batch, rng, strangers=True)
        k = int(rng.integers(1, limit + 1))
        beside = edge_values(road.config, items.shape, rng)
        for group in road.config.candidate_inputs:
            beside[group.name] = edge_categories(group, road.config, candidates.shape, rng)
        made.append(Call(f"random_{number}", items, context, candidates, k, beside))
    return made


def histories(config: BSTConfig, rows: int, length: int, rng: np.random.Generator, *, strangers: bool) -> Any:
    """Draw index-level rows `[rows, length]`, each with padding in a place of its own, repeats, and unknown ids."""
    items = rng.integers(1, config.num_items + 1, (rows, length))
    for row in items:
        if strangers:
            row[rng.random(length) < 0.1] = OUT_OF_RANGE
            row[rng.random(length) < 0.1] = -1
        if rng.random() < 0.3:
            row[:] = np.resize(row[: 1 + length // 3], length)  # repeats
        first, last = sorted(rng.integers(0, length + 1, 2))
        layout = rng.choice(LAYOUTS if strangers else LAYOUTS[:1])
        if layout == "left":
            row[: min(last, length - 1)] = 0
        elif layout == "middle":
            row[first:last] = 0
        elif layout == "right":
            row[max(first, 1) :] = 0
        elif layout == "nothing real":
            row[:] = rng.choice([0, OUT_OF_RANGE, -1], length)
    return items


def contexts(config: BSTConfig, rows: int, rng: np.random.Generator, *, strangers: bool) -> Any:
    """Draw categories `[rows, num_context]`, 0 for a missing one among them."""
    columns = [rng.integers(0, feature.num_categories + 1, rows) for feature in config.context]
    made = np.stack(columns, axis=1) if columns else np.zeros((rows, 0), dtype=np.int64)
    if strangers:
        made[rng.random(made.shape) < 0.1] = OUT_OF_RANGE
        made[rng.random(made.shape) < 0.1] = -1
    return made
