"""A contest on one bundle: the backends that are measured, their processes, and the reasons of those that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from bench.contestants.backends import Backend
from bench.harness.workers import Answers, Task, Worker
from bench.record.record import REFERENCE, BenchConfig, Case, Parity
from bst.errors import CheckError
from bst.system.console import Tell
from bst.system.machine import last_cores
from export import Bundle, Comparison, compare
from export.contract.signatures import SIGNATURES


@dataclass
class Contest:
    """The backends that are measured on one bundle. One that breaks leaves it, and the others go on.

    `unavailable` says why a backend is not there; `broken` names those of them that ought to have run.
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
        found = Worker(
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
            yield found
        finally:
            found.close()

    @contextmanager
    def workers(self, threads: int, clients: int = 1) -> Iterator[dict[str, Worker]]:
        """Start every backend, see `worker`."""
        with ExitStack() as stack:
            found: dict[str, Worker] = {}
            for name in list(self.backends):
                self.tell(f"starting {name}")
                found[name] = stack.enter_context(self.worker(name, threads, clients))
            self.each(found, lambda name, worker: worker.wait(), list(found))
            yield found

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
        stated = manifest.signature(self.config.signature)
        found = [compare(stated, want, got, manifest.tolerance) for want, got in zip(expected, actual, strict=True)]
        return parity_of(found)


def parity_of(found: list[Comparison]) -> Parity:
    """Sum up comparisons: the worst of them, with the swaps of all."""
    worst = max(found, key=lambda one: (one.failure is not None, one.error))
    error = worst.error if worst.error < float("inf") else None
    return Parity(max_error=error, swaps=sum(one.swaps for one in found), failure=worst.failure)


def worst_parity(found: list[Parity]) -> Parity:
    """Sum up parities likewise."""
    worst = max(found, key=lambda one: (one.failure is not None, one.max_error or 0.0))
    return worst.model_copy(update={"swaps": sum(one.swaps for one in found)})


def weight_bytes(path: Path) -> int:
    """Return the bytes of the largest file of a bundle: about what a process needs for the weights."""
    return max(one.stat().st_size for one in path.rglob("*") if one.is_file())
