"""Places of every user's target, as a table for one's own statistics."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.data.interactions import Interactions
from bst.errors import InputError
from bst.run.dataset import Dataset
from bst.system.files import require_new, write_atomically


def require_places(path: Path) -> None:
    """Refuse a path that cannot be written as a table of places.

    Raises:
        InputError: it exists or is no .parquet.
    """
    if path.suffix != ".parquet":
        raise InputError(f"--places {path}: places are written as Parquet; give a name that ends in .parquet")
    require_new(path, "the table", "--places")


def write_places(
    path: Path,
    table: Interactions,
    dataset: Dataset,
    places: Mapping[str, NDArray[np.int64]],
    *,
    filter_seen: bool,
) -> None:
    """Write a row a target: `split`, `user`, `target` (as in the table), `place`, `popularity` and `markov`.

    Args:
        places: of the model, by split, int64 from 1; a target that is not known comes after all items.
    """
    frames = []
    for name, model_places in places.items():
        examples = dataset.split.targets[name]
        others = dataset.baselines.places(examples, filter_seen=filter_seen)
        frames.append(
            pl.DataFrame(
                {
                    "split": [name] * len(examples),
                    "user": table.users["user"].gather(examples.users),
                    "target": table.events["item"].gather(examples.targets),
                    "place": model_places,
                    **others,
                }
            )
        )
    content = io.BytesIO()
    pl.concat(frames).write_parquet(content)
    write_atomically(path, content.getvalue())
