"""A closed loop: many threads call one session for a long time; every answer is compared, memory and tail recorded.

Each thread repeats all golden calls of the signature, in an order of its own, without a pause. The first tenth of the
time is warm-up, with the largest call alone: many of it at once take more memory than the mixture will. The rest is cut
into windows, so that growth and slowing down show.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.record.record import SoakWindow
from bst.errors import InputError
from bst.system.machine import resident_bytes
from export import Session, compare
from export.proof.golden import GoldenCall

WARM_UP, WINDOWS = 0.1, 20
SWITCH_S = 5e-4  # the longest time that a finished call waits for each thread in Python; by default 5 ms
# A histogram of the time of a call takes the same memory for a second and for a week. Its steps are 1 %.
FIRST_US, STEP, BUCKETS = 1.0, math.log(1.01), 2000
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Soaked:
    """The results of the threads: the number of wrong calls, the failure of one of them, the number of calls with
    the bits of the first answer, the memory at the end of the warm-up, and the windows after it.
    """

    wrong: int
    failure: str | None
    same_bits: int
    warm_mb: float | None
    windows: list[SoakWindow]

    @property
    def growth(self) -> float | None:
        """The growth of memory since the warm-up: 0.01 for 1 %."""
        last = self.windows[-1].memory_mb
        return None if self.warm_mb is None or last is None else last / self.warm_mb - 1


@dataclass
class _Watch:
    """Shared state of the threads; each counts in a slot of its own. `turn` is the current window, 0 the warm-up."""

    counts: Counts  # [clients, windows + 1, BUCKETS]
    same_bits: Counts  # [clients]
    wrong: Counts  # [clients]
    turn: int = 0
    done: bool = False
    failure: str | None = None
    broken: BaseException | None = None

    @classmethod
    def of(cls, clients: int) -> _Watch:
        # Written at once: memory that is only reserved would be taken later, and look like growth.
        every, none = np.full((clients, WINDOWS + 1, BUCKETS), 0, np.int64), np.full(clients, 0, np.int64)
        return cls(every, none, none.copy())


def soak(session: Session, golden: Sequence[GoldenCall], clients: int, seconds: float) -> Soaked:
    """Call `session` from `clients` threads for so many seconds, warm-up included.

    Raises:
        InputError: the time is too short for a call in every window.
    """
    prepared = [session.prepare(case.inputs) for case in golden]
    with session.mode():
        first = [session.finish(session.run(arrays)) for arrays in prepared]
    failures = [
        compare(session.signature, case.outputs, outputs).failure for case, outputs in zip(golden, first, strict=True)
    ]
    watch = _Watch.of(clients)
    sizes = [sum(array.nbytes for array in (*case.inputs.values(), *case.outputs.values())) for case in golden]
    largest = int(np.argmax(sizes))

    def call(number: int) -> None:
        order = random.Random(number).sample(range(len(golden)), len(golden))
        for drawn in itertools.cycle(order):
            if watch.done or watch.broken:
                return
            place = drawn if watch.turn else largest
            started = time.perf_counter()
            outputs = session.run(prepared[place])
            watch.counts[number, watch.turn, _bucket(time.perf_counter() - started)] += 1
            answer, failure = session.finish(outputs), failures[place]
            if all(np.array_equal(answer[name], first[place][name]) for name in answer):
                watch.same_bits[number] += 1
            else:
                failure = compare(session.signature, golden[place].outputs, answer).failure
            if failure:
                watch.wrong[number] += 1
                watch.failure = f"golden case {golden[place].name!r}: {failure}"

    def client(number: int) -> None:
        try:
            with session.mode():
                call(number)
        except BaseException as error:
            watch.broken = error

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    for thread in threads:
        thread.start()
    memory = _watched(watch, seconds)
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    if watch.broken:
        raise watch.broken
    if not watch.counts.sum(axis=(0, 2))[1:].all():
        length = (1 - WARM_UP) * seconds / WINDOWS
        raise InputError(f"soak_seconds={seconds:g}: no call ended in one of the windows of {length:.2g} s; give more")
    windows = [_window(watch.counts[:, turn].sum(axis=0), mb) for turn, mb in enumerate(memory)]
    return Soaked(int(watch.wrong.sum()), watch.failure, int(watch.same_bits.sum()), memory[0], windows[1:])


def _watched(watch: _Watch, seconds: float) -> list[float | None]:
    """Wait through the windows, and return the memory at the end of each, the warm-up's first."""
    memory = []
    lengths = [WARM_UP * seconds] + [(1 - WARM_UP) * seconds / WINDOWS] * WINDOWS
    for turn, length in enumerate(lengths):
        watch.turn = turn
        until = time.perf_counter() + length
        while time.perf_counter() < until and not watch.broken:
            time.sleep(min(0.05, length / 4))
        resident = resident_bytes()
        memory.append(None if resident is None else resident / 1e6)
    watch.done = True
    return memory


def _bucket(seconds: float) -> int:
    return min(max(int(math.log(max(seconds * 1e6, FIRST_US) / FIRST_US) / STEP), 0), BUCKETS - 1)


def _window(counts: Counts, memory_mb: float | None) -> SoakWindow:
    return SoakWindow(
        calls=int(counts.sum()),
        p50_us=_percentile(counts, 0.5),
        p99_us=_percentile(counts, 0.99),
        memory_mb=memory_mb,
    )


def _percentile(counts: Counts, share: float) -> float:
    reached = np.searchsorted(counts.cumsum(), share * counts.sum())
    return float(FIRST_US * math.exp((int(reached) + 0.5) * STEP))
