"""Soak: each backend under many threads for a long time (see `bench.harness.closed_loop`)."""

from __future__ import annotations

import numpy as np

from bench.harness.closed_loop import Soaked
from bench.harness.contest import Contest
from bench.record.record import SoakRow
from bench.record.statistics import change, verdict


def measure_soak(contest: Contest, threads: int) -> list[SoakRow]:
    """Soak every requested backend, one after the other, each in a process of its own."""
    config = contest.config
    rows = []
    for name, backend in list(contest.backends.items()):
        if backend.peer or not config.is_requested(name):
            continue
        contest.tell(f"soaking {name}: {config.clients} threads for {config.soak_seconds:g} s")
        with contest.tolerant(name), contest.worker(name, threads, config.clients, steady=False) as worker:
            worker.wait()
            soaked = worker.soak(config.clients, config.soak_seconds)
            rows.append(_row(name, contest.bundle.manifest.items.count, threads, config.clients, soaked))
    return rows


def _row(name: str, num_items: int, threads: int, clients: int, soaked: Soaked) -> SoakRow:
    earlier, later = np.array_split(np.array([window.p99_us for window in soaked.windows]), 2)
    speed = change(later, earlier)
    return SoakRow(
        backend=name,
        num_items=num_items,
        threads=threads,
        clients=clients,
        wrong=soaked.wrong,
        failure=soaked.failure,
        same_bits=soaked.same_bits,
        growth=soaked.growth,
        tail_speed=speed,
        tail_verdict=verdict(speed),
        windows=tuple(soaked.windows),
    )
