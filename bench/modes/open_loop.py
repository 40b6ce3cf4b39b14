"""Load: every backend under the same Poisson arrivals, and the rate at which its p99 breaks the budget."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from bench.harness.contest import Contest, worst_parity
from bench.harness.load import Arrivals, Served
from bench.harness.scales import Answers
from bench.harness.workers import Worker
from bench.record.record import REFERENCE, Case, LoadLimit, LoadRow, Parity
from bench.record.statistics import Floats, Interval, mean_of_launches, percentile

SHARES = (0.25, 0.5, 0.75, 0.9)
SHARE_OF_CAPACITY = 1.2  # where the search for the limit begins: one call after the other is the capacity
CAPACITY_S = 0.3
BUDGETS_UNTIL_GIVEN_UP = 50


@dataclass
class _Gathered:
    """The results of one backend in one case so far: by rate, and the limit of every launch."""

    served: dict[float, list[Served]] = field(default_factory=lambda: defaultdict(list))
    limits: list[float] = field(default_factory=list)
    parity: list[Parity] = field(default_factory=list)


def measure_load(contest: Contest, threads: int) -> tuple[list[LoadRow], list[LoadLimit]]:
    """Run every backend at the rates of the config, in every launch, and search for its limit."""
    cases = contest.cases(threads)
    gathered = {case: {name: _Gathered() for name in contest.backends} for case in cases}
    rates: dict[Case, tuple[float, ...]] = {}
    for launch in range(contest.config.launches):
        with contest.workers(threads, contest.config.clients) as workers:
            for case in cases:
                contest.tell(f"launch {launch + 1} of {contest.config.launches}, load, {case}")
                _launch(contest, workers, case, launch, gathered[case], rates)
    rows, limits = [], []
    for case in cases:
        for name in contest.backends:
            results = gathered[case][name]
            rows += [_row(contest, case, name, rate, served) for rate, served in sorted(results.served.items())]
            limits.append(
                LoadLimit(
                    backend=name,
                    case=case,
                    peer=contest.backends[name].peer,
                    exact=contest.backends[name].exact,
                    clients=contest.config.clients,
                    budget_ms=contest.config.budget_ms,
                    rate_per_s=_not_negative(mean_of_launches(np.array(results.limits))),
                    launches_per_s=tuple(results.limits),
                    parity=worst_parity(results.parity),
                )
            )
    return rows, limits


def _launch(
    contest: Contest,
    workers: dict[str, Worker],
    case: Case,
    launch: int,
    gathered: dict[str, _Gathered],
    rates: dict[Case, tuple[float, ...]],
) -> None:
    config = contest.config
    expected: list[Answers] = []
    capacity: dict[str, float] = {}

    def warm_up(name: str, worker: Worker) -> None:
        contest.tell(f"load, {case}: warming up {name}")
        answers = worker.warm_up(case, config.round_seconds, config.warm_windows).answers
        if name == REFERENCE:
            expected.append(answers)
        gathered[name].parity.append(contest.parity(expected[0], answers))
        capacity[name] = config.clients * 1e6 / float(worker.measure(0, CAPACITY_S)[0].mean())

    contest.each(workers, warm_up, list(workers))
    rates_to_try = rates.setdefault(
        case, config.rates or tuple(float(f"{share * capacity[REFERENCE]:.3g}") for share in SHARES)
    )

    def arrivals(rate: float, number: int) -> Arrivals:
        give_up_s = BUDGETS_UNTIL_GIVEN_UP * config.budget_ms / 1e3
        seed = config.seed + 1000 * launch + number
        return Arrivals(rate, config.load_seconds, config.clients, seed, give_up_s, config.min_arrivals)

    for number, rate in enumerate(rates_to_try):
        schedule = arrivals(rate, number)

        def serve(name: str, worker: Worker, schedule: Arrivals = schedule) -> None:
            contest.tell(f"load, {case}: {schedule.rate_per_s:,.0f}/s on {name}")
            gathered[name].served[schedule.rate_per_s].append(worker.load(schedule))

        contest.each(workers, serve, list(workers))

    def search(name: str, worker: Worker) -> None:
        contest.tell(f"load, {case}: the limit of {name}")
        low, high = 0.0, SHARE_OF_CAPACITY * capacity[name]
        for step in range(config.bisection_steps):
            middle = (low + high) / 2
            served = worker.load(arrivals(middle, 100 + step))
            kept = np.quantile(served.latencies_us, 0.99, method="higher") <= 1e3 * config.budget_ms
            low, high = (middle, high) if kept else (low, middle)
        gathered[name].limits.append(low)

    contest.each(workers, search, list(workers))


def _row(contest: Contest, case: Case, name: str, rate: float, served: list[Served]) -> LoadRow:
    late = np.concatenate([outcome.late_us for outcome in served])
    launches = [outcome.latencies_us for outcome in served]
    return LoadRow(
        backend=name,
        case=case,
        rate_per_s=rate,
        clients=contest.config.clients,
        p50_us=_percentile(launches, 0.5),
        p99_us=_percentile(launches, 0.99),
        answered_per_s=float(np.mean([outcome.answered_per_s for outcome in served])),
        late_us=float(np.percentile(late, 99)) if len(late) else 0.0,
        latencies_us=tuple(
            tuple(value if np.isfinite(value) else None for value in launch.round(1).tolist()) for launch in launches
        ),
    )


def _not_negative(interval: Interval) -> Interval:
    return interval.model_copy(update={"low": max(interval.low, 0.0)})


def _percentile(launches: list[Floats], share: float) -> Interval | None:
    if any(np.isinf(np.quantile(latencies, share, method="higher")) for latencies in launches):
        return None
    return percentile(launches, share)
