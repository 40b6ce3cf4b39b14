"""How many bytes a model takes, before it takes them: what a config says is not believed before it is checked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from bst.config import BSTConfig
from bst.errors import InputError

FLOAT_BYTES = 4


def stored_bytes(config: BSTConfig) -> int:
    """Bytes of the weights and buffers that a run keeps of a model."""
    dim, context = config.dim, config.context
    items = (config.num_items + 1) * dim
    categories = sum((feature.num_categories + 1) * feature.dim for feature in context)
    cell = 4 * dim * dim + 4 * dim + 2 * dim * config.ff_width + config.ff_width + dim
    widths = (dim + sum(feature.dim for feature in context), *config.head_widths, *([dim] * config.tied_output))
    head = sum((width + 1) * following for width, following in pairwise(widths))
    output = config.num_items + 1 if config.tied_output else config.num_items * (config.user_width + 1)
    positions = (config.max_length + 1) * dim
    return FLOAT_BYTES * (items + categories + config.num_blocks * cell + head + output + positions)


def require_stored(config: BSTConfig, weights: Path) -> None:
    """Refuse a config that describes more than the file `weights` can hold, or a mask that memory cannot.

    Raises:
        InputError: with both sizes. A file that is missing is left to its reader.
    """
    stated, found = stored_bytes(config), weights.stat().st_size if weights.is_file() else None
    if found is not None and stated > found:
        raise InputError(
            f"{weights} is damaged or cut short: it has {found:,} bytes, and config.json describes {stated:,}; "
            "restore it or train again"
        )
    require_memory(config, 0)


def require_memory(config: BSTConfig, copies: int) -> None:
    """Refuse a model of which `copies` do not fit into the memory that is free; the mask comes once.

    Raises:
        InputError: with both sizes and the settings that decide them.
    """
    needed = copies * stored_bytes(config) + (config.max_length + 1) ** 2
    free = available_bytes()
    if free is not None and needed > free:
        raise InputError(
            f"a model of num_items={config.num_items}, dim={config.dim}, max_length={config.max_length} needs "
            f"{needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} are free; make it smaller"
        )


def available_bytes() -> int | None:
    """Memory that processes can still have, where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
