"""Users a second of one worker, of ONNX Runtime in a closed loop, and of loops that a user would write, in turns."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from export import Bundle, Session
from export.batch import ScoreSettings, score_users
from export.batch.engines import ENGINES, Engine
from export.batch.engines.local import map_in_processes
from export.batch.scorer import UserScorer
from export.batch.shards import Task, bundle_sha256, score_unit
from export.batch.units import Unit, list_files, list_units
from export.sessions.users import inputs_of

WORKER = "one worker of bst score"
CLOSED = "closed loop, batch {}"
ONE_BY_ONE = {"a loop over session.run": "onnxruntime", "a loop over eager": "eager"}
BATCHES = (1, 8, 16, 32, 64, 128)
LOOPED = 100  # users of a round, in loops over one user
Contestants = Mapping[str, tuple[int, Callable[[int], object]]]


@dataclass(frozen=True)
class Shop:
    """A bundle, its users and the folder of the output; `units` has one of each round."""

    bundle: Bundle
    users: Path
    out: Path
    settings: ScoreSettings
    units: tuple[Unit, ...]

    @classmethod
    def of(cls, bundle: Bundle, users: Path, out: Path, unit_rows: int) -> Shop:
        settings = ScoreSettings(unit_rows=unit_rows).of_bundle(bundle.manifest)
        files = list_files(users)
        return cls(bundle, users, out, settings, list_units(files, settings, bundle_sha256(bundle.path)))


def contestants_of(shop: Shop) -> Contestants:
    """Make the contestants: how many users each has in a round, and a call that scores those of a round.

    The worker reads Parquet and writes its shard. The closed loop only runs: its batches are sorted by length and
    prepared before. The loops make their inputs of lists, as programs do.
    """
    task = Task(shop.bundle.path, bundle_sha256(shop.bundle.path), shop.out, shop.settings)
    (shop.out / "_units").mkdir(parents=True, exist_ok=True)
    rows = shop.settings.unit_rows
    contestants: dict[str, tuple[int, Callable[[int], object]]] = {
        WORKER: (rows, lambda place: score_unit(task, shop.units[place]))
    }
    scorer = UserScorer(shop.bundle, shop.settings)
    for size in BATCHES:
        contestants[CLOSED.format(size)] = rows, ClosedLoop(shop, scorer, size)
    for name, backend in ONE_BY_ONE.items():
        contestants[name] = min(LOOPED, rows), OneByOne(shop, backend)
    return contestants


class ClosedLoop:
    """Runs of a session on batches of one size. The inputs of a round are prepared at its first call."""

    def __init__(self, shop: Shop, scorer: UserScorer, size: int) -> None:
        self.shop, self.scorer, self.size = shop, scorer, size

    def prepared(self, place: int) -> list[Any]:
        """Prepare the users of a round, in batches sorted by length."""
        unit, scorer = self.shop.units[place], self.scorer
        users = scorer.read(unit.file.read(scorer.names, unit.start, unit.rows))
        order = np.argsort(users.history.lengths, kind="stable")
        batches = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        beside = {"k": np.array([self.shop.settings.k])} if scorer.session.signature.takes("k") else {}
        return [scorer.session.prepare({**scorer.inputs(users, rows), **beside}) for rows in batches]

    def __call__(self, place: int) -> float:
        calls, run = self.prepared(place), self.scorer.session.run
        start = time.perf_counter()
        for call in calls:
            run(call)
        return time.perf_counter() - start


class OneByOne:
    """Calls of a session with one user each, in the order of the input."""

    def __init__(self, shop: Shop, backend: str) -> None:
        self.shop = shop
        self.session: Session = shop.bundle.session(backend, "top_k", threads=1 if backend != "eager" else None)
        groups = shop.bundle.manifest.model.inputs
        self.names = [name for group in groups for name in group.names(shop.bundle.manifest.model)]

    def __call__(self, place: int) -> None:
        unit, manifest = self.shop.units[place], self.shop.bundle.manifest
        frame = unit.file.read(("history", *self.names), unit.start, min(LOOPED, unit.rows))
        for row in frame.iter_rows(named=True):
            inputs = inputs_of(manifest, row["history"], {name: row[name] for name in self.names}, {})
            if self.session.signature.takes("k"):
                inputs["k"] = np.array([self.shop.settings.k])
            self.session(inputs)


def race(contestants: Contestants, rounds: int) -> dict[str, list[float]]:
    """Return the users a second of each contestant in each round; all go in turns, and round 0 is not counted."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    order, shuffled = list(contestants), random.Random(0)
    for place in range(rounds + 1):
        shuffled.shuffle(order)
        for name in order:
            users, call = contestants[name]
            start = time.perf_counter()
            own = call(place)  # a closed loop takes its own time: preparing is not counted
            seconds = own if isinstance(own, float) else time.perf_counter() - start
            if place:
                speeds[name].append(users / seconds)
    return speeds


def ratios(speeds: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float, float]]:
    """Return the quartiles of the worker's speed over another's in the same round; of closed loops, over the best."""
    closed = {name: values for name, values in speeds.items() if name in {CLOSED.format(size) for size in BATCHES}}
    best = max(closed, key=lambda name: statistics.median(closed[name]))
    others = {best: closed[best], **{name: speeds[name] for name in ONE_BY_ONE}}
    return {
        name: quartiles([mine / theirs for mine, theirs in zip(speeds[WORKER], values, strict=True)])
        for name, values in others.items()
    }


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    first, middle, third = statistics.quantiles(values, n=4)
    return first, middle, third


def speed_of(workers: int, shop: Shop, out: Path) -> float:
    """Return users a second of a whole batch, from the first shard that is done to the last: without the start."""
    done: list[tuple[float, int]] = []

    def timed(function: Any, units: Sequence[Unit], count: int) -> Iterator[Any]:
        for record in map_in_processes(function, units, count):
            done.append((time.perf_counter(), record.rows))
            yield record

    ENGINES.add(Engine("timed", timed))  # type: ignore[arg-type]
    try:
        score_users(shop.bundle.path, shop.users, out, shop.settings, engine="timed", workers=workers)
    finally:
        ENGINES.remove("timed")
    (first, _), (last, _) = done[0], done[-1]
    return sum(rows for _, rows in islice(done, 1, None)) / (last - first)


def scaling(shop: Shop, folder: Path, rounds: int) -> dict[int, list[float]]:
    """Return users a second of one worker and of two, by turns, in each round."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for place in range(rounds):
        for workers in sorted(speeds, reverse=bool(place % 2)):
            speeds[workers].append(speed_of(workers, shop, folder / f"workers-{workers}-{place}"))
    return speeds
