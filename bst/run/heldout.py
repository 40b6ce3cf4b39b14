"""Held-out users of a run: rows to prove an export with, and whole histories to measure its quality with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from bst.config import BSTConfig
from bst.data.batches import Examples
from bst.data.sequences import Sequences
from bst.errors import InputError
from bst.run.tensors import read_tensors
from bst.system.files import write_atomically

HELDOUT_FILE, TEST_FILE = "heldout.safetensors", "test.safetensors"
HELDOUT_ROWS = 512
TEST_USERS = 10_000
MADE_UP_ROWS = 128


@dataclass(frozen=True)
class Heldout:
    """Index-level rows of held-out users.

    Attributes:
        items: int64 `[n, max_length]`, left-padded.
        context: int64 `[n, num_context]`.
        test: test targets with their whole histories; None where a model came without data.
    """

    items: Tensor
    context: Tensor
    test: Examples | None = None


def draw_heldout(examples: Examples, max_length: int, seed: int) -> Heldout:
    """Draw rows and test users by chance, up to `HELDOUT_ROWS` and `TEST_USERS`."""
    rows = np.random.default_rng(seed).permutation(len(examples))[:HELDOUT_ROWS]
    batch = examples.batch(rows, max_length)
    items = torch.nn.functional.pad(batch.items, (max_length - batch.items.size(1), 0))
    return Heldout(items, batch.context, _alone(examples.subset(TEST_USERS, seed)))


def made_up(config: BSTConfig) -> Heldout:
    """Make up rows: random items of every length, some with zeros in the middle, and random categories."""
    rng = np.random.default_rng(0)
    items = rng.integers(1, config.num_items + 1, (MADE_UP_ROWS, config.max_length))
    lengths = rng.integers(1, config.max_length + 1, MADE_UP_ROWS)
    items[np.arange(config.max_length) < config.max_length - lengths[:, None]] = 0
    items[::5][rng.random(items[::5].shape) < 0.2] = 0
    context = [rng.integers(0, feature.num_categories + 1, MADE_UP_ROWS) for feature in config.context]
    columns = np.stack(context, axis=1) if context else np.zeros((MADE_UP_ROWS, 0), dtype=np.int64)
    return Heldout(torch.from_numpy(items), torch.from_numpy(columns))


def write_heldout(run: Path, heldout: Heldout) -> None:
    """Write `heldout` into the folder of a run."""
    rows = {"items": heldout.items.contiguous(), "context": heldout.context.contiguous()}
    write_atomically(run / HELDOUT_FILE, safetensors.torch.save(rows))
    if heldout.test is not None:
        sequences = heldout.test.sequences
        parts = {name: torch.from_numpy(getattr(sequences, name)) for name in ("items", "offsets", "context")}
        write_atomically(run / TEST_FILE, safetensors.torch.save(parts))


def read_heldout(run: Path, config: BSTConfig) -> Heldout:
    """Read the file of `write_heldout`.

    Raises:
        InputError: a file is missing or damaged, or does not fit the model; the test rows may be missing.
    """
    path = run / HELDOUT_FILE
    rows = read_tensors(path)
    shapes = {"items": config.max_length, "context": len(config.context)}
    for name, width in shapes.items():
        tensor = rows.get(name)
        if tensor is None or tensor.dtype != torch.int64 or tensor.dim() != 2 or tensor.size(1) != width:
            shape = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
            raise InputError(f"{path} holds {shape} as {name}, not int64 [rows, {width}]; train again")
    test = _read_test(run / TEST_FILE, config) if (run / TEST_FILE).exists() else None
    heldout = Heldout(rows["items"], rows["context"], test)
    if len(heldout.items) != len(heldout.context) or not heldout.items.numel() or heldout.items.max() < 1:
        raise InputError(f"{path} holds no histories with a context each; train again")
    if heldout.items.min() < 0 or heldout.items.max() > config.num_items:
        raise InputError(f"{path} holds items beyond the {config.num_items} of the model; train again")
    for column, feature in enumerate(config.context):
        valid = (heldout.context[:, column] >= 0) & (heldout.context[:, column] <= feature.num_categories)
        if not valid.all():
            raise InputError(
                f"{path} holds categories beyond the {feature.num_categories} of {feature.name}; train again"
            )
    return heldout


def _alone(examples: Examples) -> Examples:
    """Return the same examples without the events that they do not read: each user ends with the target."""
    starts, lengths = examples.sequences.offsets[examples.users], examples.targets + 1
    lengths = lengths - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    context = examples.sequences.context_of(examples.users, examples.targets)
    return _each_last(Sequences(examples.sequences.items[events], offsets, context))


def _each_last(sequences: Sequences) -> Examples:
    return Examples(sequences, np.arange(sequences.num_users), sequences.offsets[1:] - 1)


def _read_test(path: Path, config: BSTConfig) -> Examples:
    parts = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
    kinds = {"items": ("int32", 1), "offsets": ("int64", 1), "context": ("int32", 2)}
    actual = {name: (str(part.dtype), part.ndim) for name, part in parts.items()}
    if actual != kinds:
        raise InputError(f"{path} holds {actual}, not {kinds}; train again")
    sequences = Sequences(parts["items"], parts["offsets"], parts["context"])
    widths = [feature.num_categories for feature in config.context]
    sound = (
        len(sequences.offsets) > 0
        and sequences.offsets[0] == 0
        and sequences.offsets[-1] == len(sequences.items)
        and bool((np.diff(sequences.offsets) >= 2).all())
        and sequences.context.shape == (sequences.num_users, len(widths))
        and _within(sequences.items, config.num_items)
        and _within(sequences.context, np.array(widths, dtype=np.int64))
    )
    if not sound:
        raise InputError(f"{path} holds histories that do not fit the model; train again")
    return _each_last(sequences)


def _within(indices: np.ndarray, most: int | np.ndarray) -> bool:
    return bool(((indices >= 0) & (indices <= most)).all())
