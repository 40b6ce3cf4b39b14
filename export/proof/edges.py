"""Values on which implementations differ: no item, too many, unknown ids, times that tie, numbers that are none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bst.config import BSTConfig, InputGroup
from export.contract.inputs import Array

OUT_OF_RANGE = 2**40
EDGE_TIME = 1_600_000_000
INT64_ENDS = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
ODD_NUMBERS = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], dtype=np.float32)
ODD_SHARE = 0.15


def edge_rows(real: NDArray[np.int64], max_length: int) -> dict[str, NDArray[np.int64]]:
    """Return index-level rows; `OUT_OF_RANGE` stands for an unknown id."""
    items = real[real > 0]
    item, some = int(items[0]), np.resize(items, min(5, max_length))
    full = np.resize(items, max_length)
    gap = np.zeros(max(max_length - len(some), 1), dtype=np.int64)
    half = len(some) // 2
    return {
        "empty": np.zeros(max_length, dtype=np.int64),
        "empty_of_length_one": np.zeros(1, dtype=np.int64),
        "one_item": np.array([item]),
        "full": full,
        "longer_than_max_length": np.concatenate([full[::-1], some])[: max_length + 3],
        "all_the_same": np.full(max_length, item),
        "padding_left": np.concatenate([gap, some]),
        "padding_middle": np.concatenate([some[:half], gap, some[half:]]),
        "padding_right": np.concatenate([some, gap]),
        "unknown_ids": np.concatenate([some, [OUT_OF_RANGE], some[:1]])[:max_length],
        "only_unknown_ids": np.full(min(3, max_length), OUT_OF_RANGE),
        "negative_ids": np.concatenate([[-1], some, [-OUT_OF_RANGE]])[:max_length],
        "duplicates": np.repeat(some, 2)[:max_length],
    }


def edge_values(config: BSTConfig, shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Array]:
    """Make up what stands beside items of a shape `[batch, length]`, without the context.

    Categories are unknown, negative and out of range among others. Times tie, run backwards, lie in the future of their
    request and at the ends of int64, or are not known. Numbers are not known, infinite, and far from their mean.
    """
    values: dict[str, Array] = {}
    for group in config.inputs:
        sizes = shape if group.per_event else shape[:1]
        if group.holds == "seconds":
            steps = rng.choice([0, 1, 60, 3_600, 86_400, 10**7, -5_000], shape).cumsum(axis=1)
            times = EDGE_TIME + steps if group.per_event else EDGE_TIME + rng.choice([0, 90, 10**9], sizes)
            odd = rng.random(sizes) < ODD_SHARE
            values[group.name] = np.where(odd, rng.choice([0, -1, *INT64_ENDS], sizes), times)
        elif group.holds == "numbers":
            columns = [rng.normal(number.mean, 3 * number.deviation, sizes) for number in config.numbers]
            numbers = np.stack(columns, axis=-1).astype(np.float32)
            odd = rng.random(numbers.shape) < 2 * ODD_SHARE
            values[group.name] = np.where(odd, rng.choice(ODD_NUMBERS, numbers.shape), numbers)
        elif group.holds == "items":
            values[group.name] = _edge_sequences(config.num_items, config.length_of(group), shape[0], rng)
        elif group.name != "context":
            values[group.name] = edge_categories(group, config, sizes, rng)
    return values


def _edge_sequences(num_items: int, max_length: int, batch: int, rng: np.random.Generator) -> Array:
    """Draw a row of `edge_rows` for each of a batch, left-padded."""
    corpus = list(edge_rows(rng.integers(1, num_items + 1, 5), max_length).values())
    rows = [corpus[place] for place in rng.integers(0, len(corpus), batch)]
    length = max(map(len, rows))
    return np.stack([np.pad(row, (length - len(row), 0)) for row in rows])


def edge_categories(group: InputGroup, config: BSTConfig, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
    categories = np.stack([rng.integers(0, count + 1, sizes) for count in group.counts(config)], axis=-1)
    odd = rng.random(categories.shape) < ODD_SHARE
    return np.where(odd, rng.choice([OUT_OF_RANGE, -1], categories.shape), categories)
