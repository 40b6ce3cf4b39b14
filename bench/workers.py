"""A backend in a process of its own: two libraries' thread pools in one process disturb each other."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.cases import draw_inputs
from bst.errors import CheckError, InputError
from export import Session, open_bundle
from export.parity import LARGEST, RUNNER_UP, runner_up

WARM_SECONDS = 0.5
WARM_CALLS = 20
MIN_CALLS = 10
# Without these, glibc may return freed memory to the system and fetch it again in every call, or not, as its heap
# happened to grow: TorchScript at batch 32 took 5.2 or 10.4 ms from one launch to the next.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_TOP_PAD_": str(2**26),
}

Samples = NDArray[np.float64]
Answers = list[dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Backend:
    """A name that a person may give, and what the bundle is to open for it."""

    name: str
    kind: str
    device: str = "cpu"

    def missing(self) -> str | None:
        """Say why it cannot run on this machine, or None."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device here"
        return None


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("eager", "eager"),
        Backend("eager-cuda", "eager", "cuda"),
        Backend("torchscript", "torchscript"),
        Backend("pt2", "pt2"),
        Backend("aotinductor", "aotinductor"),
        Backend("onnxruntime", "onnxruntime"),
    )
}


@dataclass(frozen=True)
class Task:
    """What a worker loads: one signature of a bundle in one backend.

    `as_reference` is for the one whose answers others are compared with (see `export.compare`).
    """

    bundle: Path
    backend: Backend
    signature: str
    threads: int
    seed: int
    as_reference: bool = False


class Worker:
    """A process that holds one session; the parent asks it for one thing at a time.

    Raises (from every method):
        CheckError: the process failed or ended; the message says how.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(task, theirs), daemon=True)
        with _environment(ALLOCATOR):
            self.process.start()
        theirs.close()
        self._answer()

    def warm_up(self, batch_size: int) -> Answers:
        """Load the inputs of a batch size, run until warm, and give the answers to all of them."""
        return self._ask("warm_up", batch_size)

    def measure(self, batch_size: int, seconds: float) -> Samples:
        """Run for about `seconds`, at least `MIN_CALLS` calls: microseconds of each, float64 `[calls]`."""
        return self._ask("measure", batch_size, seconds)

    def close(self) -> None:
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()

    def _ask(self, *request: Any) -> Any:
        try:
            self.connection.send(request)
        except OSError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            kind, value = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._ended() from None
        if kind == "bad_input":
            raise InputError(value)
        if kind == "failed":
            raise CheckError(f"backend {self.task.backend.name} failed: {value}")
        return value

    def _ended(self) -> CheckError:
        self.process.join(timeout=5)
        return CheckError(f"backend {self.task.backend.name} ended with exit code {self.process.exitcode}")


class _Measured:
    """The worker's side: the session, and the prepared inputs of each batch size."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        self.task = task
        self.bundle = open_bundle(task.bundle)
        backend = task.backend
        self.session: Session = self.bundle.session(
            backend.kind, task.signature, threads=task.threads, device=backend.device
        )
        self.prepared: dict[int, list[Any]] = {}
        self.turn = 0

    def warm_up(self, batch_size: int) -> Answers:
        session = self.session
        inputs = draw_inputs(self.bundle, self.task.signature, batch_size, self.task.seed)
        self.prepared[batch_size] = [session.prepare(one) for one in inputs]
        until = time.perf_counter() + WARM_SECONDS
        calls = 0
        while calls < WARM_CALLS or time.perf_counter() < until:
            session.run(self._next(batch_size))
            calls += 1
        answers = [session.finish(session.run(one)) for one in self.prepared[batch_size]]
        if self.task.as_reference and self.task.signature in ("top_k", "score_candidates"):
            backend = self.task.backend
            scored = self.bundle.session(backend.kind, "all_scores", threads=self.task.threads, device=backend.device)
            excluding = self.bundle.manifest.settings.top_k.exclude_history
            for one, call in zip(answers, inputs, strict=True):
                user = {name: array for name, array in call.items() if name not in ("k", "candidates")}
                scores = scored(user)["scores"]
                one[LARGEST] = np.abs(scores).max(axis=1)
                # Where the history is left out, scores of all items do not tell: any id beyond the list fails there.
                if self.task.signature == "top_k" and not excluding:
                    one[RUNNER_UP] = runner_up(scores, one["scores"].shape[1])
        return answers

    def measure(self, batch_size: int, seconds: float) -> Samples:
        run, clock = self.session.run, time.perf_counter_ns
        samples: list[int] = []
        until = clock() + int(seconds * 1e9)
        while len(samples) < MIN_CALLS or clock() < until:
            one = self._next(batch_size)
            started = clock()
            run(one)
            samples.append(clock() - started)
        return np.array(samples, dtype=np.float64) / 1e3

    def _next(self, batch_size: int) -> Any:
        prepared = self.prepared[batch_size]
        self.turn = (self.turn + 1) % len(prepared)
        return prepared[self.turn]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes started within, where the user has not set them already."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _serve(task: Task, connection: Connection) -> None:
    try:
        measured = _Measured(task)
        connection.send(("ok", None))
        while True:
            method, *arguments = connection.recv()
            connection.send(("ok", getattr(measured, method)(*arguments)))
    except EOFError:
        return  # the parent is done
    except InputError as error:
        connection.send(("bad_input", str(error)))
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        connection.send(("failed", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"))
