"""Made-up users of a bundle, as Parquet: as many as there shall be, with histories as long as those of MovieLens-1M."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bst.errors import InputError
from export import Bundle

MEDIAN, DEVIATION, SHORTEST, LONGEST = 96, 1.04, 20, 2314  # of a log-normal law: the mean is 163, MovieLens-1M's 166
FILE_ROWS = 50_000


def write_users(folder: Path, bundle: Bundle, count: int, *, median: int = MEDIAN, file_rows: int = FILE_ROWS) -> Path:
    """Write `count` users in files of `file_rows`, each from a seed of its own, so that memory holds one file.

    Raises:
        InputError: the model reads something of its events, which these users have none of.
    """
    if per_event := [group.name for group in bundle.manifest.model.inputs if group.per_event]:
        raise InputError(f"{bundle.path} reads {', '.join(per_event)}, which made-up users have none of; give another")
    folder.mkdir(parents=True)
    for place, start in enumerate(range(0, count, file_rows)):
        rng = np.random.default_rng(place)
        made_up(bundle, start, min(file_rows, count - start), median, rng).write_parquet(
            folder / f"users-{place:05d}.parquet"
        )
    return folder


def made_up(bundle: Bundle, first: int, rows: int, median: int, rng: np.random.Generator) -> pl.DataFrame:
    """Make users `first` to `first + rows - 1`: items by Zipf's law, features of the request at random."""
    ids = bundle.vocabularies.items.ids
    lengths = np.exp(rng.normal(np.log(median), DEVIATION, rows)).astype(int).clip(min(SHORTEST, median), LONGEST)
    places = (rng.zipf(1.2, lengths.sum()) - 1) % len(ids)
    row = pl.Series("row", np.repeat(np.arange(rows), lengths)).set_sorted()
    events = pl.DataFrame([row, ids.gather(places).alias("history")])
    columns: dict[str, Any] = {"user_id": np.arange(first, first + rows)}
    columns["history"] = events.group_by("row", maintain_order=True).agg("history")["history"]
    for group in bundle.manifest.model.inputs:
        for name in group.names(bundle.manifest.model):
            categories = bundle.vocabularies.of(group).get(name)
            drawn = rng.normal(30, 9, rows) if categories is None else rng.integers(0, len(categories), rows)
            columns[name] = drawn if categories is None else categories.ids.gather(drawn)
    return pl.DataFrame(columns)
