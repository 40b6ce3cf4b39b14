"""Held-out users of a run: rows to prove an export with, and whole histories to measure its quality with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.config import EVENT_TIME, INPUT_GROUPS, BSTConfig, InputGroup
from bst.data.batches import Examples
from bst.data.impressions import Impressions
from bst.data.sequences import Sequences, ranges
from bst.errors import InputError
from bst.run.tensors import read_tensors
from bst.system.files import write_atomically

HELDOUT_FILE, TEST_FILE = "heldout.safetensors", "test.safetensors"
HELDOUT_ROWS = 512
TEST_USERS = 10_000
MADE_UP_ROWS = 128
MADE_UP_YEAR = (1_600_000_000, 1_631_536_000)


@dataclass(frozen=True)
class Heldout:
    """Index-level rows of held-out users.

    Attributes:
        items: int64 `[n, max_length]`, left-padded.
        context: int64 `[n, num_context]`.
        test: test targets with their whole histories; None where a model came without data.
        beside: what else the model reads, by the names of `INPUT_GROUPS`; per event left-padded with 0.
    """

    items: Tensor
    context: Tensor
    test: Examples | None = None
    beside: Mapping[str, Tensor] = field(default_factory=dict)


def draw_heldout(examples: Examples, max_length: int, seed: int) -> Heldout:
    """Draw rows and test users by chance, up to `HELDOUT_ROWS` and `TEST_USERS`; of impressions, rows alone, those with
    a history first.
    """
    rows = np.random.default_rng(seed).permutation(len(examples))
    is_log = isinstance(examples, Impressions)
    if isinstance(examples, Impressions):
        rows = rows[np.argsort(examples.lengths[rows] == 0, kind="stable")]
    rows = rows[:HELDOUT_ROWS]
    batch = examples.batch(rows, max_length) if is_log else _alone(examples.at(rows)).batch(slice(None), max_length)
    missing = max_length - batch.items.size(1)
    per_event = {"items"} | {group.name for group in INPUT_GROUPS if group.per_event}
    padded = {name: _left_padded(part, missing) if name in per_event else part for name, part in batch.inputs.items()}
    items, context = padded.pop("items"), padded.pop("context")
    test = None if is_log else _alone(examples.subset(TEST_USERS, seed))
    return Heldout(items, context, test, padded)


def made_up(config: BSTConfig) -> Heldout:
    """Make up rows: random items of every length, some with zeros in the middle, random categories, times of a year
    and numbers around their mean, some of them unknown.
    """
    rng = np.random.default_rng(0)
    items = _made_up_items(config.num_items, config.max_length, 1, rng)
    beside = {group.name: _made_up_values(group, config, rng) for group in config.inputs}
    context = beside.pop("context", np.zeros((MADE_UP_ROWS, 0), dtype=np.int64))
    tensors = {name: torch.from_numpy(values) for name, values in beside.items()}
    return Heldout(torch.from_numpy(items), torch.from_numpy(context), None, tensors)


def _made_up_items(num_items: int, longest: int, shortest: int, rng: np.random.Generator) -> NDArray[Any]:
    items = rng.integers(1, num_items + 1, (MADE_UP_ROWS, longest))
    lengths = rng.integers(shortest, longest + 1, MADE_UP_ROWS)
    items[np.arange(longest) < longest - lengths[:, None]] = 0
    items[::5][rng.random(items[::5].shape) < 0.2] = 0
    return items


def _made_up_values(group: InputGroup, config: BSTConfig, rng: np.random.Generator) -> NDArray[Any]:
    if group.holds == "items":  # a user who clicked may have skipped nothing
        return _made_up_items(config.num_items, config.length_of(group), 0, rng)
    shape = (MADE_UP_ROWS, config.max_length) if group.per_event else (MADE_UP_ROWS,)
    if group.holds == "categories":
        return np.stack([rng.integers(0, count + 1, shape) for count in group.counts(config)], axis=-1)
    if group.holds == "numbers":
        numbers = [rng.normal(number.mean, number.deviation, shape) for number in config.numbers]
        values = np.stack(numbers, axis=-1).astype(np.float32)
        values[rng.random(values.shape) < 0.1] = np.nan
        return values
    if not group.per_event:  # requests come after the events
        return rng.integers(MADE_UP_YEAR[1], MADE_UP_YEAR[1] + 1_000_000, shape)
    times = np.sort(rng.integers(*MADE_UP_YEAR, shape), axis=1)
    times[rng.random(shape) < 0.1] = 0
    return times


def write_heldout(run: Path, heldout: Heldout) -> None:
    """Write `heldout` into the folder of a run."""
    rows = {"items": heldout.items, "context": heldout.context, **heldout.beside}
    write_atomically(run / HELDOUT_FILE, safetensors.torch.save({name: rows[name].contiguous() for name in rows}))
    if heldout.test is not None:
        sequences = heldout.test.sequences
        arrays = {name: getattr(sequences, name) for name in ("items", "offsets", "context")} | dict(sequences.beside)
        parts = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        write_atomically(run / TEST_FILE, safetensors.torch.save(parts))


def read_heldout(run: Path, config: BSTConfig) -> Heldout:
    """Read the file of `write_heldout`.

    Raises:
        InputError: a file is missing or damaged, or does not fit the model; the test rows may be missing.
    """
    path = run / HELDOUT_FILE
    rows = read_tensors(path)
    expected: dict[str, tuple[int, ...]] = {"items": (config.max_length,), "context": (len(config.context),)}
    for group in config.inputs:
        width = (len(group.names(config)),) if group.stacked else ()
        has_slots = group.per_event or group.holds == "items"
        expected[group.name] = (*((config.length_of(group),) if has_slots else ()), *width)
    for name, shape in expected.items():
        tensor, dtype = rows.get(name), torch.float32 if name == "numbers" else torch.int64
        fits = tensor is not None and tensor.dim() == len(shape) + 1 and tuple(tensor.shape[1:]) == shape
        if tensor is None or tensor.dtype != dtype or not fits:
            actual = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
            layout = f"{str(dtype).removeprefix('torch.')} [{', '.join(map(str, ('rows', *shape)))}]"
            raise InputError(f"{path} holds {actual} as {name}, not {layout}; train again")
    test = _read_test(run / TEST_FILE, config) if (run / TEST_FILE).exists() else None
    beside = {name: rows[name] for name in expected if name not in ("items", "context")}
    heldout = Heldout(rows["items"], rows["context"], test, beside)
    if len({len(rows[name]) for name in expected}) > 1 or not heldout.items.numel() or heldout.items.max() < 1:
        raise InputError(f"{path} holds no histories with a context each; train again")
    lists = [heldout.items, *(rows[group.name] for group in config.sequence_groups)]
    if any(items.min() < 0 or items.max() > config.num_items for items in lists):
        raise InputError(f"{path} holds items beyond the {config.num_items} of the model; train again")
    for group in config.inputs:
        for column, (name, count) in enumerate(zip(group.names(config), group.counts(config), strict=False)):
            categories = rows[group.name][..., column]
            if categories.min() < 0 or categories.max() > count:
                raise InputError(f"{path} holds categories beyond the {count} of {name}; train again")
    return heldout


def _left_padded(values: Tensor, missing: int) -> Tensor:
    return torch.nn.functional.pad(values, (*(0, 0) * (values.dim() - 2), missing, 0))


def _alone(examples: Examples) -> Examples:
    """Return the same examples without the events that they do not read: each user ends with the target."""
    whole = examples.sequences
    starts, lengths = whole.offsets[examples.users], examples.targets + 1
    lengths = lengths - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = ranges(starts, lengths)
    beside = {name: whole.rows_of(values, events) for name, values in whole.beside.items() if name != "numbers"}
    if "numbers" in whole.beside:
        beside["numbers"] = whole.numbers_of(examples.users, examples.targets)
    context = whole.context_of(examples.users, examples.targets)
    return _each_last(Sequences(whole.items_at(events), offsets, context, beside))


def _each_last(sequences: Sequences) -> Examples:
    return Examples(sequences, np.arange(sequences.num_users), sequences.offsets[1:] - 1)


def _read_test(path: Path, config: BSTConfig) -> Examples:
    parts = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
    groups = {group.name for group in config.inputs}
    optional = {"events": ("int32", 2), EVENT_TIME: ("int64", 1), "numbers": ("float32", 2)}
    kinds = {"items": ("int32", 1), "offsets": ("int64", 1), "context": ("int32", 2)}
    kinds |= {name: kind for name, kind in optional.items() if name in groups}
    actual = {name: (str(part.dtype), part.ndim) for name, part in parts.items()}
    if actual != kinds:
        raise InputError(f"{path} holds {actual}, not {kinds}; train again")
    beside = {name: parts[name] for name in optional if name in parts}
    sequences = Sequences(parts["items"], parts["offsets"], parts["context"], beside)
    widths = [feature.num_categories for feature in config.context]
    event_widths = [feature.num_categories for feature in config.event_features]
    num_events, num_users = len(sequences.items), sequences.num_users
    shapes = {
        "events": (num_events, len(event_widths)),
        EVENT_TIME: (num_events,),
        "numbers": (num_users, len(config.numbers)),
    }
    sound = (
        len(sequences.offsets) > 0
        and sequences.offsets[0] == 0
        and sequences.offsets[-1] == len(sequences.items)
        and bool((np.diff(sequences.offsets) >= 2).all())
        and sequences.context.shape == (sequences.num_users, len(widths))
        and _within(sequences.items, config.num_items)
        and _within(sequences.context, np.array(widths, dtype=np.int64))
        and all(values.shape == shapes[name] for name, values in beside.items())
        and ("events" not in beside or _within(beside["events"], np.array(event_widths, dtype=np.int64)))
    )
    if not sound:
        raise InputError(f"{path} holds histories that do not fit the model; train again")
    return _each_last(sequences)


def _within(indices: np.ndarray, most: int | np.ndarray) -> bool:
    return bool(((indices >= 0) & (indices <= most)).all())
