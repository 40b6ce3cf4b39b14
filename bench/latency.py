"""Latency side by side: every backend answers the same calls, in rounds that take turns in random order."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.environment import describe
from bench.statistics import Interval, Latency, Samples, speedup, verdict
from bench.workers import BACKENDS, Answers, Task, Worker
from bst.config import Frozen
from bst.console import Tell
from bst.errors import InputError
from export import Bundle, Comparison, Manifest, Signature, compare, open_bundle, verify_bundle
from export.bundle import FORMAT_OF

SCHEMA_VERSION = 1
REFERENCE = "eager"


class BenchConfig(Frozen):
    """What is measured and for how long.

    `launches` is how often every backend starts as a new process, `rounds` how often they take turns in each launch,
    `round_seconds` the time of one backend in one round.
    """

    backends: tuple[str, ...] = tuple(BACKENDS)
    batch_sizes: tuple[int, ...] = (1, 32)
    signature: str = "top_k"
    threads: int = 1
    launches: int = 5
    rounds: int = 3
    round_seconds: float = 0.25
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """One backend at one batch size: how fast, against eager, and how right on the very inputs that were timed."""

    backend: str
    batch_size: int
    latency: Latency
    rows_per_s: float
    speedup: Interval
    verdict: str
    parity: Comparison
    samples_us: Samples

    def to_dict(self) -> dict[str, Any]:
        def interval(value: Interval) -> dict[str, float]:
            return {"value": value.value, "low": value.low, "high": value.high}

        return {
            "backend": self.backend,
            "batch_size": self.batch_size,
            "p50_us": interval(self.latency.p50_us),
            "p95_us": self.latency.p95_us,
            "p99_us": self.latency.p99_us,
            "mean_us": self.latency.mean_us,
            "iqr_us": self.latency.iqr_us,
            "calls": self.latency.calls,
            "rows_per_s": self.rows_per_s,
            "speedup_to_eager": interval(self.speedup),
            "verdict": self.verdict,
            "parity": {
                "max_error": self.parity.error if self.parity.failure is None else None,
                "swaps": self.parity.swaps,
                "failure": self.parity.failure,
            },
            "samples_us": [[calls.round(2).tolist() for calls in rounds] for rounds in self.samples_us],
        }


@dataclass(frozen=True)
class BenchResult:
    """All that was measured, with what is needed to judge it. `unavailable` says of a backend why it is not there."""

    bundle: str
    model: dict[str, Any]
    config: BenchConfig
    environment: dict[str, Any]
    date: str
    rows: tuple[Row, ...]
    unavailable: dict[str, str]

    @property
    def parity_failures(self) -> list[Row]:
        return [row for row in self.rows if row.parity.failure]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "bundle": self.bundle,
            "model": self.model,
            "settings": self.config.model_dump(mode="json"),
            "environment": self.environment,
            "date": self.date,
            "rows": [row.to_dict() for row in self.rows],
            "unavailable": self.unavailable,
        }


def measure_bundle(path: Path, config: BenchConfig, tell: Tell = lambda step: None) -> BenchResult:
    """Measure the backends of `config` on the bundle at `path`.

    The bundle is verified first; then each backend runs in a process of its own, warmed up, and the rounds of all
    backends take turns in random order. Every answer to the timed inputs is compared with eager on the CPU.

    Raises:
        InputError: a backend or signature is not known, or a number does not make sense.
        CheckError: the bundle fails verification, or a backend breaks.
    """
    check_config(config)
    bundle = open_bundle(path)
    bundle.manifest.signature(config.signature)  # refuses one that is not there
    for _ in verify_bundle(path, tell):
        pass
    unavailable = {name: reason for name in config.backends if (reason := _missing(name, bundle))}
    wanted = dict.fromkeys((REFERENCE, *(name for name in config.backends if name not in unavailable)))
    environment = describe(config.threads)
    measured = [
        _Gathered(size, {name: [] for name in wanted}, {name: [] for name in wanted}) for size in config.batch_sizes
    ]
    for launch in range(config.launches):
        with ExitStack() as stack:
            workers = {}
            for name in wanted:
                tell(f"launch {launch + 1} of {config.launches}: starting {name}")
                task = Task(
                    path.absolute(), BACKENDS[name], config.signature, config.threads, config.seed, name == REFERENCE
                )
                workers[name] = Worker(task)
                stack.callback(workers[name].close)
            for one in measured:
                _take_turns(workers, one, config, bundle.manifest, random.Random(f"{config.seed}-{launch}"), tell)
    rows = [row for one in measured for row in _rows(one)]
    return BenchResult(
        bundle=path.name,
        model=bundle.manifest.model.model_dump(mode="json"),
        config=config,
        environment=environment,
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        rows=tuple(row for row in rows if row.backend in config.backends),
        unavailable=unavailable,
    )


def _missing(name: str, bundle: Bundle) -> str | None:
    backend = BACKENDS[name]
    if backend.kind in FORMAT_OF and FORMAT_OF[backend.kind] not in bundle.manifest.format_names:
        return f"the bundle does not hold {FORMAT_OF[backend.kind]}"
    return backend.missing()


def check_config(config: BenchConfig) -> None:
    """Refuse what cannot be measured, all at once.

    Raises:
        InputError: names each offending value and what would do.
    """
    unknown = [name for name in config.backends if name not in BACKENDS]
    offences = []
    if unknown or not config.backends:
        offences.append(f"backends {', '.join(unknown) or 'none'} not known; known: {', '.join(BACKENDS)}")
    if not config.batch_sizes or min(config.batch_sizes) < 1:
        offences.append(f"batch sizes {list(config.batch_sizes)} must be 1 or more")
    if config.threads < 1:
        offences.append(f"threads={config.threads} must be 1 or more")
    if config.launches < 2 or config.rounds < 1:
        offences.append(
            f"launches={config.launches} of rounds={config.rounds} are too few to say how sure a number is; "
            "give 2 launches or more of 1 round or more"
        )
    if not 0 < config.round_seconds <= 600:
        offences.append(f"round_seconds={config.round_seconds} must be above 0 and at most 600")
    if offences:
        raise InputError("; ".join(offences))


@dataclass
class _Gathered:
    """What has been gathered of one batch size so far: by backend, the samples, and the parity of every launch."""

    batch_size: int
    samples: dict[str, Samples]
    parity: dict[str, list[Comparison]]


def _take_turns(
    workers: dict[str, Worker],
    gathered: _Gathered,
    config: BenchConfig,
    manifest: Manifest,
    order: random.Random,
    tell: Tell,
) -> None:
    signature, tolerance = manifest.signature(config.signature), manifest.tolerance
    size = gathered.batch_size
    answers: dict[str, Answers] = {}
    for name, worker in workers.items():
        tell(f"batch {size}: warming up {name}")
        answers[name] = worker.warm_up(size)
        gathered.samples[name].append([])
        gathered.parity[name].append(worst_of(signature, answers[REFERENCE], answers[name], tolerance))
    turns = list(workers)
    for number in range(config.rounds):
        tell(f"batch {size}: round {number + 1} of {config.rounds}")
        order.shuffle(turns)
        for name in turns:
            gathered.samples[name][-1].append(workers[name].measure(size, config.round_seconds))


def _rows(gathered: _Gathered) -> Iterator[Row]:
    samples, size = gathered.samples, gathered.batch_size
    for name in samples:
        latency = Latency.of(samples[name])
        ratio = speedup(samples[REFERENCE], samples[name])
        yield Row(
            backend=name,
            batch_size=size,
            latency=latency,
            rows_per_s=size * 1e6 / latency.mean_us,
            speedup=ratio,
            verdict="reference" if name == REFERENCE else verdict(ratio),
            parity=_worst(gathered.parity[name]),
            samples_us=samples[name],
        )


def worst_of(signature: Signature, expected: Answers, actual: Answers, tolerance: float) -> Comparison:
    """Compare the answers to every timed call; give the worst comparison, with the swaps of all."""
    return _worst([compare(signature, want, got, tolerance) for want, got in zip(expected, actual, strict=True)])


def _worst(compared: list[Comparison]) -> Comparison:
    worst = max(compared, key=lambda one: (one.failure is not None, one.error))
    return Comparison(worst.error, sum(one.swaps for one in compared), worst.worst_row, worst.failure)
