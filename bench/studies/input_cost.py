"""The cost of inputs beside the history: calls of bundles that differ in them alone, in turns.

    python -m bench.studies.input_cost [--batch 1] [--rounds 30] [--json FILE]

Random models of the default sizes, with 5,000 items and histories of 50, one for each of `INPUTS`. Every bundle is
called in each round, in another order each time; the ratio is taken within a round, to the bundle without inputs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from bench.harness.cases import draw_inputs
from bench.models.random_model import parse_model, write_random_run
from bench.record.environment import describe
from bench.record.record import Case
from bst.system.files import temporary_folder, to_json, write_atomically
from export import ExportSettings, export_bundle, open_bundle
from export.sessions.session import Session

SIZES = ["num_items=5000"]
NONE = "nothing"
INPUTS = {
    NONE: [],
    "two event features": ["event_features=kind:5,device:3"],
    "event times": ["event_times=to_next"],
    "two numbers": ["numbers=age,price"],
    "all of them": ["event_features=kind:5,device:3", "event_times=to_next", "numbers=age,price"],
}
FORMATS = {"onnx": "onnxruntime", "torchscript": "torchscript"}
CALLS = 40  # of one bundle in a round
Calls = tuple[Session, list[Any]]


def main() -> None:
    """Export the bundles, call them in turns, and print a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with temporary_folder() as folder:
        contestants = {
            (backend, name): calls
            for name, settings in INPUTS.items()
            for backend, calls in prepared(folder / name.replace(" ", "_"), settings, arguments.batch).items()
        }
        seconds = race(contestants, arguments.rounds)
    lines = list(ratios(seconds))
    for backend, name, micros, ratio, spread in lines:
        print(f"{backend:<12} {name:<20} {micros:8.0f} us  {ratio:.3f} +- {spread:.3f}")
    if arguments.json:
        record = {"lines": lines, "batch": arguments.batch, "machine": describe((1,))}
        write_atomically(arguments.json, to_json(record))


def prepared(folder: Path, settings: list[str], batch: int) -> dict[str, Calls]:
    """Export a random model of these settings; return a session of each backend, with prepared inputs."""
    write_random_run(folder / "run", parse_model([*SIZES, *settings]))
    export_bundle(folder / "run", folder / "bundle", ExportSettings(formats=tuple(FORMATS), signatures=("top_k",)))
    bundle = open_bundle(folder / "bundle")
    config = bundle.manifest.model
    case = Case(num_items=config.num_items, batch_size=batch, length=config.max_length, candidates=0, threads=1)
    inputs = draw_inputs(bundle, "top_k", case)
    sessions = {backend: bundle.session(backend, threads=1) for backend in FORMATS.values()}
    return {backend: (session, [session.prepare(call) for call in inputs]) for backend, session in sessions.items()}


def race(contestants: dict[tuple[str, str], Calls], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Return the median time of a call in each round, in seconds; the first round is not counted."""
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in contestants}
    order, shuffled = list(contestants), random.Random(0)
    for number in range(rounds + 1):
        shuffled.shuffle(order)
        for key in order:
            session, inputs = contestants[key]
            median = statistics.median(timed(session, inputs[(number + place) % len(inputs)]) for place in range(CALLS))
            if number:
                seconds[key].append(median)
    return seconds


def timed(session: Session, prepared_inputs: Any) -> float:
    """Return how long a call takes, in seconds."""
    with session.mode():
        start = time.perf_counter()
        session.run(prepared_inputs)
        return time.perf_counter() - start


def ratios(seconds: dict[tuple[str, str], list[float]]) -> list[tuple[str, str, float, float, float]]:
    """Return for each bundle: microseconds, and the median and spread of its ratio to the one without inputs."""
    lines = []
    for (backend, name), times in seconds.items():
        quotients = [mine / plain for mine, plain in zip(times, seconds[backend, NONE], strict=True)]
        quartiles = statistics.quantiles(quotients, n=4)
        lines.append((backend, name, 1e6 * statistics.median(times), quartiles[1], (quartiles[2] - quartiles[0]) / 2))
    return sorted(lines)


if __name__ == "__main__":
    main()
