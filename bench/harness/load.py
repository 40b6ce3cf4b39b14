"""Calls on a schedule: an open loop, where a slow answer does not delay the next arrival.

Latency counts from the intended arrival of a call, so that it includes the time in the queue; a closed loop would leave
that out ("coordinated omission", Tene 2013).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import Session

SPIN_S = 300e-6  # a sleep may end so much too late; the rest is spun
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arrivals:
    """Poisson arrivals: `rate_per_s` for `seconds`, served by `clients` threads over one session.

    `at_least`: the least number of arrivals, however short the time.
    `give_up_s`: the length of the queue at which the remaining arrivals are given up.
    """

    rate_per_s: float
    seconds: float
    clients: int
    seed: int
    give_up_s: float
    at_least: int

    def times(self) -> Floats:
        """Draw the seconds from the start to each arrival, float64 `[arrivals]`."""
        rng = np.random.default_rng(self.seed)
        count = max(self.at_least, int(self.rate_per_s * self.seconds))
        return np.cumsum(rng.exponential(1 / self.rate_per_s, count))


@dataclass(frozen=True)
class Served:
    """The outcome of the arrivals.

    Attributes:
        latencies_us: from intended arrival to answer, float64 `[arrivals]`, in order of arrival; infinite for those
            that were given up.
        late_us: of the calls with a free client, the time from their arrival to their start, float64.
        answered_per_s: answers over the time from the first arrival to the last answer.
    """

    latencies_us: Floats
    late_us: Floats
    answered_per_s: float


def serve(session: Session, inputs: Sequence[Any], arrivals: Arrivals) -> Served:
    """Run `session` on prepared `inputs`, in turn, at each arrival; arrivals wait in one line for a free client."""
    times = arrivals.times()
    begun, ended = np.full(len(times), np.inf), np.full(len(times), np.inf)
    waited = np.zeros(len(times), dtype=bool)
    line = iter(range(len(times)))
    door = threading.Lock()
    start = time.perf_counter() + 0.05
    failures: list[BaseException] = []

    def work() -> None:
        while not failures:
            with door:
                number = next(line, None)
            if number is None:
                return
            due = start + times[number]
            now = time.perf_counter()
            if now - due > arrivals.give_up_s:
                return
            waited[number] = now > due
            _wait_until(due)
            begun[number] = time.perf_counter() - start
            session.run(inputs[number % len(inputs)])
            ended[number] = time.perf_counter() - start

    def client() -> None:
        try:
            with session.mode():
                work()
        except BaseException as error:
            failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(arrivals.clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if failures:
        raise failures[0]
    answered = np.isfinite(ended)
    on_time = answered & ~waited
    span = float(ended[answered].max() - times[0]) if answered.any() else arrivals.give_up_s
    return Served((ended - times) * 1e6, (begun - times)[on_time] * 1e6, float(answered.sum()) / span)


def _wait_until(due: float) -> None:
    while (left := due - time.perf_counter()) > 0:
        if left > SPIN_S:
            time.sleep(left - SPIN_S)
