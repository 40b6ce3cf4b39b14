"""A small shop: users of several bundles as Parquet, and what a bundle answers one user at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from export import Bundle, open_bundle
from export.batch import ScoreSettings, score_users
from export.batch.engines import ENGINES, Engine

UNKNOWN = {"int64": 999_983, "string": "nobody"}


def in_this_process(function: Any, units: Any, workers: int) -> Iterator[Any]:
    """An engine of one line, for tests that need no processes."""
    return (function(unit) for unit in units)


class Here:
    """The engine `here` while the block lasts."""

    def __init__(self, map_units: Any = in_this_process, extra: str | None = None) -> None:
        self.engine = Engine("here", map_units, extra)

    def __enter__(self) -> str:
        ENGINES.add(self.engine)
        return "here"

    def __exit__(self, *error: object) -> None:
        ENGINES.remove("here")


def shop(bundle: Bundle, rows: int = 40, seed: int = 0) -> pl.DataFrame:
    """Users with histories of 0 to 30 items, some unknown, and all that the model reads beside them."""
    rng, manifest = np.random.default_rng(seed), bundle.manifest
    ids = [*bundle.vocabularies.items.ids.to_list(), UNKNOWN[manifest.items.dtype]]
    lengths = rng.integers(0, 30, rows)
    columns: dict[str, Any] = {"user_id": rng.permutation(rows) + 1000, "history": _picked(ids, lengths, rng)}
    candidates = rng.integers(0, 9, rows)
    columns["candidates"] = _picked(ids, candidates, rng)
    for group in (*manifest.model.inputs, *manifest.model.candidate_inputs):
        if group.holds == "items":
            columns[group.name] = _picked([*ids, None], rng.integers(0, 30, rows), rng)
            continue
        for name in group.names(manifest.model):
            values = (
                [None, *bundle.vocabularies.of(group)[name].ids]
                if group.holds == "categories"
                else [0, 1_600_000_000, 1_700_000_000]
            )
            beside = {"event": lengths, "candidate": candidates}.get(group.of)
            columns[name] = _picked(values, np.ones(rows, int) if beside is None else beside, rng)
            if beside is None:
                columns[name] = [row[0] for row in columns[name]]
    return pl.DataFrame(columns, strict=False)


def _picked(values: list[Any], lengths: Any, rng: np.random.Generator) -> list[list[Any]]:
    return [[values[place] for place in rng.integers(0, len(values), length)] for length in lengths]


def write_parts(folder: Path, users: pl.DataFrame, parts: int = 3) -> Path:
    folder.mkdir()
    size = -(-len(users) // parts)
    for part in range(parts):
        users[part * size : (part + 1) * size].write_parquet(folder / f"part-{part}.parquet")
    return folder


def score_here(bundle: Path, users: Path, out: Path, *, resume: bool = False, **settings: Any) -> pl.DataFrame:
    """Score in this process, and read all shards."""
    with Here() as engine:
        score_users(bundle, users, out, ScoreSettings(**settings), engine=engine, resume=resume)
    return read_scores(out)


def read_scores(out: Path) -> pl.DataFrame:
    return pl.read_parquet(sorted(out.glob("*.parquet")))


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.parquet"))}


def opened(path: Path) -> Bundle:
    return open_bundle(path)


def alone(bundle: Bundle, users: pl.DataFrame, k: int | None = None) -> list[dict[str, Any]]:
    """What `bst recommend` answers to each user."""
    manifest, recommender = bundle.manifest, bundle.recommender(threads=1)
    groups = manifest.model.inputs
    of_request = [name for group in groups if group.of == "request" for name in group.names(manifest.model)]
    of_events = [name for group in groups if group.per_event for name in group.names(manifest.model)]
    return [
        recommender.recommend(
            row["history"],
            {name: row[name] for name in of_request},
            events={name: row[name] for name in of_events},
            k=k,
        ).to_dict()
        for row in users.iter_rows(named=True)
    ]
