"""A backend in a process of its own: two libraries' thread pools in one process disturb each other."""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.contestants.backends import Backend
from bench.harness.cases import draw_inputs
from bench.harness.closed_loop import Soaked, soak
from bench.harness.load import Arrivals, Served, serve
from bench.record.environment import ALLOCATOR
from bench.record.record import MAX_POOL, Case
from bench.record.statistics import Floats
from bst.errors import CheckError, InputError
from bst.system.processes import context, end_with_parent, environment, undisturbed_start
from export import Session, open_bundle
from export.contract.parity import LARGEST, RUNNER_UP, runner_up
from export.contract.signatures import SIGNATURES
from export.proof.golden import read_golden

MIN_CALLS = 10
# Warm is where the median of a window is within SETTLED of both before it.
WINDOW_CALLS, SETTLED = 5, 0.05

Answers = list[dict[str, np.ndarray[Any, Any]]]


@dataclass(frozen=True)
class Task:
    """The task of a worker: one signature of a bundle in one backend, on `cores`, as many as there are threads.

    `as_reference` marks the backend whose answers others are compared with (see `export.compare`). `steady` keeps
    memory for the next call (see `ALLOCATOR`); without it, memory is returned as in a service.
    """

    bundle: Path
    backend: Backend
    signature: str
    threads: int
    cores: tuple[int, ...]
    seed: int
    max_pool: int = MAX_POOL
    as_reference: bool = False
    steady: bool = True


@dataclass(frozen=True)
class Warm:
    """The answers to every input of a case, and whether the median was stable at the end."""

    answers: Answers
    settled: bool


class Worker:
    """A process that loads one session and then executes one command of the parent at a time.

    Raises (from every method):
        CheckError: the process failed or ended; the message says how.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.connection, theirs = context().Pipe()
        self.process = context().Process(target=_serve, args=(task, theirs), daemon=True)
        # Threads of a client do not inherit `torch.set_num_threads`, but these variables.
        threads = {name: str(task.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        allocator = ALLOCATOR if task.steady else {}
        with environment(allocator), environment(threads, override=True), undisturbed_start():
            self.process.start()
        theirs.close()

    def wait(self) -> None:
        """Wait until the session is loaded."""
        self._answer()

    def warm_up(self, case: Case, window_s: float, windows: int) -> Warm:
        """Load the inputs of a case, answer all of them, and run until warm, in so many windows at most."""
        return self._ask("warm_up", case, window_s, windows)

    def measure(self, first: int, seconds: float) -> tuple[Floats, Floats | None]:
        """Run for about `seconds`, at least `MIN_CALLS` calls, from input `first` on: microseconds of each call, by the
        host and, on CUDA, by the device; float64 `[calls]`."""
        return self._ask("measure", first, seconds)

    def load(self, arrivals: Arrivals) -> Served:
        """Serve calls as they arrive."""
        return self._ask("load", arrivals)

    def soak(self, clients: int, seconds: float) -> Soaked:
        """Replay the golden calls from several threads for a long time."""
        return self._ask("soak", clients, seconds)

    def close(self) -> None:
        self.connection.close()
        self.process.kill()  # an orderly end would take a second
        self.process.join()

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
    """The worker's side: the session, and the prepared inputs of the current case."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        self.task = task
        self.bundle = open_bundle(task.bundle)
        self.session = task.backend.open(self.bundle, task.signature, task.threads)
        self.prepared: list[Any] = []
        self.clock = _DeviceClock.of(self.session) if task.backend.device == "cuda" else None

    def warm_up(self, case: Case, window_s: float, windows: int) -> Warm:
        session = self.session
        inputs = draw_inputs(self.bundle, self.task.signature, case, self.task.seed, self.task.max_pool)
        self.prepared = [session.prepare(call) for call in inputs]
        with session.mode():
            answers = [session.finish(session.run(arrays)) for arrays in self.prepared]
        pin(self.task.cores)  # not before: compilers run at the first call, and may use the whole machine
        if self.task.as_reference and self.task.signature in ("top_k", "score_candidates"):
            (self._add_scales if self.bundle.manifest.model.scores_catalogue else self._add_usual_scale)(
                answers, inputs
            )
        with session.mode():
            return Warm(answers, self._settle(window_s, windows))

    def measure(self, first: int, seconds: float) -> tuple[Floats, Floats | None]:
        run, now, clock = self.session.run, time.perf_counter_ns, self.clock
        samples: list[int] = []
        device: list[float] = []
        number, pool = first % len(self.prepared), len(self.prepared)
        until = now() + int(seconds * 1e9)
        with self.session.mode():
            while len(samples) < MIN_CALLS or now() < until:
                arrays = self.prepared[number]
                number = (number + 1) % pool
                if clock:
                    clock.begin()
                started = now()
                run(arrays)
                samples.append(now() - started)
                if clock:
                    device.append(clock.elapsed_us())
        return np.array(samples, dtype=np.float64) / 1e3, np.array(device) if clock else None

    def load(self, arrivals: Arrivals) -> Served:
        return serve(self.session, self.prepared, arrivals)

    def soak(self, clients: int, seconds: float) -> Soaked:
        golden = read_golden(self.bundle.path / "golden", self.bundle.manifest.signature(self.task.signature))
        return soak(self.session, golden, clients, seconds)

    def _settle(self, window_s: float, windows: int) -> bool:
        medians: list[float] = []
        for _ in range(windows):
            samples: list[float] = []
            window = time.perf_counter() + window_s
            while len(samples) < WINDOW_CALLS or time.perf_counter() < window:
                started = time.perf_counter()
                self.session.run(self.prepared[len(samples) % len(self.prepared)])  # the same inputs in every window
                samples.append(time.perf_counter() - started)
            medians.append(float(np.median(samples)))
            if len(medians) > 2 and max(medians[-3:]) < (1 + SETTLED) * min(medians[-3:]):
                return True
        return False

    def _add_scales(self, answers: Answers, inputs: list[dict[str, Any]]) -> None:
        task = self.task
        scored = task.backend.open(self.bundle, "all_scores", task.threads)
        excluding = self.bundle.manifest.settings.top_k.exclude_history
        for answer, call in zip(answers, inputs, strict=True):
            user = {name: array for name, array in call.items() if name not in ("k", "candidates")}
            scores = scored(user)["scores"]
            answer[LARGEST] = np.abs(scores).max(axis=1)
            # Where the history is left out, scores of all items are no runner-up: any id beyond the list fails there.
            if SIGNATURES.find(task.signature).picks and not excluding:
                answer[RUNNER_UP] = runner_up(scores, answer["scores"].shape[1])

    def _add_usual_scale(self, answers: Answers, inputs: list[dict[str, Any]]) -> None:
        """Take the scale of a click model from its golden vectors: it has no catalogue, and the logit of a single
        candidate may be near 0."""
        golden = read_golden(self.bundle.path / "golden", self.bundle.manifest.signature(self.task.signature))
        usual = min(call.outputs[LARGEST].min() for call in golden)
        for answer in answers:
            answer[LARGEST] = np.full(len(answer["scores"]), usual)


class _DeviceClock:
    """CUDA events around a call: the session's wait records the end before it waits."""

    def __init__(self) -> None:
        self.start, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    @classmethod
    def of(cls, session: Session) -> _DeviceClock | None:
        """Take over the waiting of a torch session; runtimes of other kinds have no events to see."""
        inner = getattr(session, "inner", session)
        if not hasattr(inner, "wait"):
            return None
        clock = cls()
        inner.wait = clock.finish
        return clock

    def begin(self) -> None:
        self.start.record()

    def finish(self) -> None:
        self.end.record()
        self.end.synchronize()

    def elapsed_us(self) -> float:
        return self.start.elapsed_time(self.end) * 1e3


def pin(cores: tuple[int, ...]) -> None:
    """Keep every thread of this process on `cores`, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            try:
                os.sched_setaffinity(int(thread.name), cores)
            except OSError:  # it has ended meanwhile
                continue


def _serve(task: Task, connection: Connection) -> None:
    end_with_parent()
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
        message = (str(error).splitlines() or [""])[0]
        connection.send(("failed", f"{type(error).__name__}: {message} ({Path(last.filename).name}:{last.lineno})"))
