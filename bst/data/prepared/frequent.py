"""The users and items with many events: what `min_count` keeps of sorted runs, by passes over the disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bst.data.prepared.runs import SortedRuns
from bst.data.tables.selection import Size, remark_on_frequent


def frequent_items(runs: SortedRuns, least: int, piece_rows: int, path: Path) -> tuple[pl.Series, str]:
    """Find the items that stay when users and items with fewer than `least` events are dropped until none is left.

    What stays is the same in whatever order they are dropped (`bst.data.tables.selection.frequent`). A pass drops the
    items that the one before found rare, then the users, whose events stand together, and counts the items anew; memory
    holds a count for each item.

    Returns:
        the items, and a remark on what stays.

    Raises:
        InputError: none stays.
    """
    counts, whole = _count(runs, piece_rows)
    while True:
        stay = counts.filter(pl.col("count") >= least)["item"]
        counts, kept = _count(runs, piece_rows, stay, least)
        if len(counts) == len(stay) and (counts["count"] >= least).all():
            return stay, remark_on_frequent(least, kept, whole, path)


def of_frequent(rows: pl.DataFrame, items: pl.Series, least: int) -> pl.DataFrame:
    """Keep the rows of `items`, and of these the rows of users with `least` or more; those of a user stand together."""
    return rows.filter(pl.col("item").is_in(items.implode())).filter(pl.len().over("user") >= least)


def _count(
    runs: SortedRuns, piece_rows: int, items: pl.Series | None = None, least: int = 1
) -> tuple[pl.DataFrame, Size]:
    """Count the events of each item in what `of_frequent` keeps: columns `item` and `count`."""
    counts, events, users = pl.DataFrame(), 0, 0
    for rows in runs.ranges(piece_rows, ("user", "item")):
        kept = rows if items is None else of_frequent(rows, items, least)
        piece = kept.group_by("item").agg(count=pl.len().cast(pl.Int64))
        counts = piece if counts.is_empty() else pl.concat([counts, piece]).group_by("item").agg(pl.col("count").sum())
        events, users = events + len(kept), users + kept["user"].n_unique()
    return counts, Size(events, users, len(counts))
