"""Closed loop, side by side: every backend answers the same calls, in rounds that take turns in random order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.harness.cases import draw_calls, first_input, pool_size
from bench.harness.contest import Contest, worst_parity
from bench.harness.scales import Answers
from bench.harness.workers import Worker
from bench.modes.limits import Work, floor_us, measure_rates, rates_of, work_of, working_set
from bench.record.record import NOT_EQUAL, REFERENCE, Case, LatencyRow, Parity, Rate
from bench.record.statistics import Floats, Samples, describe_latency, speedup, verdict
from bst.system.processes import in_own_process
from export.contract.choices import ShortlistRecord

ROUNDED = 2  # decimals of a microsecond in the record: the clock's own grain is coarser


@dataclass
class _Gathered:
    """The results of one backend in one case so far."""

    samples: Samples = field(default_factory=list)
    device: Samples = field(default_factory=list)
    parity: list[Parity] = field(default_factory=list)
    settled: bool = True


def measure_latency(contest: Contest, threads: int) -> tuple[list[LatencyRow], list[Rate]]:
    """Measure every case of a contest at a number of threads, and the machine's rates meanwhile.

    Every launch starts all backends anew; in each round all of them run, in an order shuffled anew, on the same inputs.
    The answers to all inputs are compared with eager in every launch.
    """
    config, tell = contest.config, contest.tell
    cases = contest.cases(threads)
    gathered: dict[Case, dict[str, _Gathered]] = {
        case: {name: _Gathered() for name in contest.backends} for case in cases
    }
    sets = sorted({working_set(works) for case in cases for works in _works(contest, case).values()})
    devices = sorted({backend.device for backend in contest.backends.values()})
    rates: dict[str, list[list[tuple[int, float]]]] = {device: [] for device in devices}
    for launch in range(config.launches):
        launch_text = f"launch {launch + 1} of {config.launches}"
        for device in devices:
            tell(f"{launch_text}: the machine's own speed")
            rates[device].append(in_own_process(measure_rates, threads, sets, config.speed_seconds, device))
        with contest.workers(threads) as workers:
            for case in cases:
                tell(f"{launch_text}: {case}")
                _take_turns(contest, workers, case, launch, gathered[case])
    measured = {device: rates_of(device_rates, threads, device) for device, device_rates in rates.items()}
    rows = [row for case in cases for row in _rows(contest, case, gathered[case], measured)]
    return rows, [rate for device_rates in measured.values() for rate in device_rates]


def _take_turns(
    contest: Contest, workers: dict[str, Worker], case: Case, launch: int, gathered: dict[str, _Gathered]
) -> None:
    config, pool = contest.config, pool_size(case, contest.config.max_pool)
    expected: list[Answers] = []

    def warm_up(name: str, worker: Worker) -> None:
        contest.tell(f"{case}: warming up {name}")
        warm = worker.warm_up(case, config.round_seconds, config.warm_windows)
        if name == REFERENCE:
            expected.append(warm.answers)
        results = gathered[name]
        results.parity.append(contest.parity(expected[0], warm.answers))
        results.settled = results.settled and warm.settled
        results.samples.append([])
        results.device.append([])

    contest.each(workers, warm_up, list(workers))
    expected.clear()
    order = random.Random(f"{config.seed}-{launch}-{case}")
    turns = list(workers)
    for number in range(config.rounds):
        contest.tell(f"launch {launch + 1}, {case}: round {number + 1} of {config.rounds}")
        order.shuffle(turns)

        def measure(name: str, worker: Worker, first: int = first_input(launch, number, pool)) -> None:
            host, device = worker.measure(first, config.round_seconds)
            gathered[name].samples[-1].append(host.round(ROUNDED))
            if device is not None:
                gathered[name].device[-1].append(device.round(ROUNDED))

        contest.each(workers, measure, turns)


def _rows(
    contest: Contest, case: Case, gathered: dict[str, _Gathered], rates: dict[str, list[Rate]]
) -> list[LatencyRow]:
    """Return the rows of a case, for the backends that have not failed."""
    there = {name: gathered[name] for name in contest.backends}
    parity = {name: worst_parity(results.parity) for name, results in there.items()}
    pool = pool_size(case, contest.config.max_pool)
    works = _works(contest, case)
    p50 = {name: float(np.median(_pooled(results.samples))) for name, results in there.items()}
    right = [name for name in there if parity[name].failure is None]
    per_s = {
        device: {rate.working_set_bytes: rate.per_s for rate in device_rates} for device, device_rates in rates.items()
    }
    floors = {}
    for name, backend in contest.backends.items():
        if backend.exact:
            own, machine = (
                works[contest.bundle.manifest.shortlist if backend.runs_onnx else None],
                per_s[backend.device],
            )
            floors[name] = floor_us(own, machine[working_set(own)], machine[0])
    # A correct backend faster than its limit shows that the device's speed was measured too low: drop the limit.
    beaten = {contest.backends[name].device for name in right if name in floors and floors[name] >= p50[name]}
    rows = []
    for name, results in there.items():
        backend = contest.backends[name]
        latency = describe_latency(results.samples, _inputs(results.samples, pool))
        to_eager = speedup(there[REFERENCE].samples, results.samples)
        best = min((other for other in right if other != name), key=lambda other: p50[other], default=None)
        to_best = speedup(there[best].samples, results.samples) if best else None
        wrong = parity[name].failure is not None
        floor = None if backend.device in beaten else floors.get(name)
        rows.append(
            LatencyRow(
                backend=name,
                case=case,
                peer=backend.peer,
                exact=backend.exact,
                latency=latency,
                rows_per_s=case.batch_size * 1e6 / latency.mean_us.value,
                floor_us=floor,
                to_eager=to_eager,
                verdict="reference" if name == REFERENCE else NOT_EQUAL if wrong else verdict(to_eager),
                best=best,
                to_best=to_best,
                best_verdict=None if to_best is None else NOT_EQUAL if wrong else verdict(to_best),
                settled=results.settled,
                parity=parity[name],
                pool=pool,
                samples_us=_plain(results.samples),
                device_us=_plain(results.device) if any(map(any, map(_lengths, results.device))) else None,
            )
        )
    return rows


def _works(contest: Contest, case: Case) -> dict[ShortlistRecord | None, list[Work]]:
    """Count the work of the calls of a case, with the shortlist of the bundle's ONNX file and without."""
    manifest = contest.bundle.manifest
    calls = draw_calls(contest.bundle, case, contest.config.seed, contest.config.max_pool)
    return {
        shortlist: [work_of(manifest.model, contest.config.signature, call, shortlist) for call in calls]
        for shortlist in (None, manifest.shortlist)
    }


def _pooled(samples: Samples) -> Floats:
    return np.concatenate([calls for rounds in samples for calls in rounds])


def _inputs(samples: Samples, pool: int) -> list[list[Floats]]:
    """Return the number of each call's input, in the shape of `samples`."""
    return [
        [
            ((first_input(launch, number, pool) + np.arange(len(calls))) % pool).astype(np.float64)
            for number, calls in enumerate(rounds)
        ]
        for launch, rounds in enumerate(samples)
    ]


def _lengths(rounds: Sequence[Floats]) -> list[int]:
    return [len(calls) for calls in rounds]


def _plain(samples: Samples) -> tuple[tuple[tuple[float, ...], ...], ...]:
    return tuple(tuple(tuple(calls.tolist()) for calls in rounds) for rounds in samples)
