"""A contest on one bundle: the backends that are measured, their processes, and the reasons of those that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from bench.contestants.backends import Backend
from bench.harness.scales import Answers
from bench.harness.workers import Task, Worker
from bench.record.record import REFERENCE, BenchConfig, Case, Parity
from bst.errors import CheckError
from bst.system.console import Tell
from bst.system.machine import last_cores
from export import Bundle, Comparison, compare
from export.contract.signatures import SIGNATURES


@dataclass
class Contest:
    """The backends that are measured on one bundle. A backend that fails is dropped, and the others go on.

    `unavailable` has the reason for each backend that is missing; `broken` names those of them that should have run.
    """

    bundle: Bundle
    config: BenchConfig
    backends: dict[str, Backend]
    unavailable: dict[str, str]
    tell: Tell
    broken: list[str] = field(default_factory=list)

    def cases(self, threads: int) -> list[Case]:
        config = self.config
        candidates = config.candidates if SIGNATURES.find(config.signature).takes_candidates else (0,)
        return [
            Case(
                num_items=self.bundle.manifest.items.count,
                threads=threads,
                batch_size=batch_size,
                length=length,
                candidates=n,
            )
            for n, length, batch_size in product(candidates, config.lengths, config.batch_sizes)
        ]

    @contextmanager
    def worker(self, name: str, threads: int, clients: int = 1, *, steady: bool = True) -> Iterator[Worker]:
        """Start a backend in a process of its own, kept on cores for `clients` calls at a time (`steady`: `Task`)."""
        started = Worker(
            Task(
                self.bundle.path.absolute(),
                self.backends[name],
                self.config.signature,
                threads,
                last_cores(threads * clients),
                self.config.seed,
                self.config.max_pool,
                name == REFERENCE,
                steady,
            )
        )
        try:
            yield started
        finally:
            started.close()

    @contextmanager
    def workers(self, threads: int, clients: int = 1) -> Iterator[dict[str, Worker]]:
        """Start every backend, see `worker`."""
        with ExitStack() as stack:
            started: dict[str, Worker] = {}
            for name in list(self.backends):
                self.tell(f"starting {name}")
                started[name] = stack.enter_context(self.worker(name, threads, clients))
            self.each(started, lambda name, worker: worker.wait(), list(started))
            yield started

    def each(self, workers: dict[str, Worker], act: Callable[[str, Worker], None], order: list[str]) -> None:
        """Call a function for every backend that has not failed, in `order`."""
        for name in order:
            if name in self.backends:
                with self.tolerant(name):
                    act(name, workers[name])

    @contextmanager
    def tolerant(self, name: str) -> Iterator[None]:
        """Record the failure of a backend and go on without it; the reference must not fail."""
        try:
            yield
        except CheckError as error:
            if name == REFERENCE:
                raise
            self.unavailable[name] = str(error).removeprefix(f"backend {name} ")
            if not self.backends.pop(name).peer:
                self.broken.append(name)

    def parity(self, expected: Answers, actual: Answers) -> Parity:
        """Compare the answers to every timed call; return the worst, with the swaps of all."""
        manifest = self.bundle.manifest
        spec = manifest.signature(self.config.signature)
        comparisons = [compare(spec, *pair, manifest.tolerance) for pair in zip(expected, actual, strict=True)]
        return parity_of(comparisons)


def parity_of(comparisons: list[Comparison]) -> Parity:
    """Sum up comparisons: the worst of them, with the swaps of all."""
    worst = max(comparisons, key=lambda comparison: (comparison.failure is not None, comparison.error))
    error = worst.error if worst.error < float("inf") else None
    return Parity(max_error=error, swaps=sum(comparison.swaps for comparison in comparisons), failure=worst.failure)


def worst_parity(parities: list[Parity]) -> Parity:
    """Sum up parities likewise."""
    worst = max(parities, key=lambda parity: (parity.failure is not None, parity.max_error or 0.0))
    return worst.model_copy(update={"swaps": sum(parity.swaps for parity in parities)})


def weight_bytes(path: Path) -> int:
    """Return the bytes of the largest file of a bundle: about what a process needs for the weights."""
    return max(file.stat().st_size for file in path.rglob("*") if file.is_file())
