"""The verification of an output: hashes of its shards, and rows that are scored again, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bst.errors import CheckError, InputError
from bst.system.console import Tell
from bst.system.text import shortened
from export.batch.plan import Plan, read_finished
from export.batch.scorer import UserScorer
from export.batch.settings import ITEM_IDS, SCORES, UNKNOWN_IDS
from export.batch.shards import ShardRecord, require_same_bundle, require_whole
from export.batch.units import list_files
from export.bundle.folder import open_bundle
from export.contract.inputs import Array

SHARDS, ROWS = 16, 16  # at most so many shards are sampled, and rows of each


@dataclass(frozen=True)
class Verified:
    """What was compared.

    Attributes:
        shards, rows: of the output, whose hashes are right.
        replayed: rows that were scored again.
        max_error: of their scores, relative to the largest score of the rows that were taken of a shard; None without.
        notes: what could not be compared.
    """

    shards: int
    rows: int
    replayed: int
    max_error: float | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def verify_scores(
    out: Path | str,
    bundle: Path | str | None = None,
    users: Path | str | None = None,
    tell: Tell = lambda step: None,
) -> Verified:
    """Compare the shards of a finished output with their hashes, and a sample of rows with the bundle's answer to that
    user alone.

    Args:
        bundle, users: where they lie now; where the plan says, if not given.

    Raises:
        InputError: the folder is no output, or the bundle is another.
        CheckError: the output is not finished, a shard is altered, missing or one too many, or an answer differs.
    """
    out = Path(out)
    plan = read_finished(out)
    records = plan.shards
    tell("checking hashes")
    for record in records:
        require_whole(out, record)
    names = {record.name for record in records}
    if strangers := sorted(path.name for path in out.glob("*.parquet") if path.name not in names):
        raise CheckError(f"{out} holds {shortened(strangers)}, no shards of it, which readers would read; remove them")
    rows = sum(record.rows for record in records)
    bundle, users = Path(bundle or plan.bundle), Path(users or plan.input)
    absent = [f"{what} {path}" for what, path in (("the bundle", bundle), ("the input", users)) if not _is_there(path)]
    if absent:
        return Verified(len(records), rows, 0, None, (f"not replayed: {' and '.join(absent)} is not there",))
    require_same_bundle(bundle, plan.bundle_sha256)
    tell("scoring a sample again")
    errors = _replayed(out, plan, records, UserScorer(open_bundle(bundle), plan.settings), users)
    return Verified(len(records), rows, len(errors), max(errors))


def _is_there(path: Path) -> bool:
    return path.exists() or any(sign in str(path) for sign in "*?[")


def _replayed(out: Path, plan: Plan, records: Sequence[ShardRecord], scorer: UserScorer, users: Path) -> list[float]:
    """Return the error of each row that is scored again."""
    files = {file.sha256: file for file in list_files(users)}
    errors = []
    for place in np.unique(np.linspace(0, len(records) - 1, SHARDS).astype(int)):
        record = records[place]
        if record.input_sha256 not in files:
            raise InputError(f"{users} is another input than {out} was made of; give the one that {plan.input} was")
        seed = int(hashlib.sha256(record.name.encode()).hexdigest()[:8], 16)
        chosen = np.sort(np.random.default_rng(seed).choice(record.rows, min(ROWS, record.rows), replace=False))
        frame = files[record.input_sha256].read(scorer.names, record.start, record.rows)[chosen]
        shard = pl.read_parquet(out / record.name, glob=False)[chosen]
        again = pl.concat([scorer.score(frame[row : row + 1]) for row in range(len(frame))])
        errors += _errors(shard, again, scorer, out / record.name)
    return errors


def _errors(shard: pl.DataFrame, again: pl.DataFrame, scorer: UserScorer, path: Path) -> list[float]:
    user = scorer.settings.user
    for name in (user, UNKNOWN_IDS):
        if not shard[name].equals(again[name]):
            raise CheckError(f"{path}: column {name!r} is not that of the input; score again with another --out")
    scale = max([*(abs(score) for row in again[SCORES].to_list() for score in row), float(np.finfo(np.float32).tiny)])
    noise = scorer.manifest.tolerance * scale
    errors = []
    for row in range(len(shard)):
        ids, scores = (shard[name][row].to_numpy() for name in (ITEM_IDS, SCORES))
        ids_again, scores_again = (again[name][row].to_numpy() for name in (ITEM_IDS, SCORES))
        if len(ids) != len(ids_again):
            raise CheckError(f"{path}: user {shard[user][row]!r} has {len(ids)} items, and {len(ids_again)} when alone")
        error = float(np.abs(scores - scores_again).max(initial=0))
        if error > noise or not _in_same_order(ids, ids_again, scores_again, 2 * noise):
            both = f"{ids.tolist()}, and {ids_again.tolist()} when alone (error {error / scale:.1e})"
            raise CheckError(f"{path}: user {shard[user][row]!r} is given {both}")
        errors.append(error / scale)
    return errors


def _in_same_order(ids: Array, expected: Array, scores: Array, noise: float) -> bool:
    """Return whether ids differ only where their scores are equal but for noise, or the last of the list is."""
    for place in np.flatnonzero(ids != expected):
        same = np.flatnonzero(expected == ids[place])
        score = scores[same[0]] if len(same) else scores[-1]
        if abs(score - scores[place]) > noise:
            return False
    return len(np.unique(ids.astype(str))) == len(np.unique(expected.astype(str)))
