"""Statistics of samples, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray

from bst.config import Frozen

# Two-sided 95 % points of Student's t by degrees of freedom, from 1; beyond the table the last is used, a little wide.
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
EXACT_UP_TO = 6  # launches whose resamples are all counted; beyond, RESAMPLES of them are drawn
RESAMPLES = 500
REPEATS = 4

Floats = NDArray[np.float64]
Samples = list[list[Floats]]  # of each launch, of each round: one number a call


class Interval(Frozen):
    """An estimate with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class Latency(Frozen):
    """Latency of one backend in one case, microseconds a call, over the calls of all launches together.

    Attributes:
        p50_us, p95_us, p99_us, p999_us: percentiles; None where fewer than one call is expected beyond it.
        mean_us: of all calls.
        iqr_us: between the quartiles of all calls: the traffic's own variety and the machine's noise together.
        noise: the interquartile range of each call over the median of the calls with the same input: the part that
            the inputs do not explain; None where no input came REPEATS times.
        calls: their number.
    """

    p50_us: Interval
    p95_us: Interval | None
    p99_us: Interval | None
    p999_us: Interval | None
    mean_us: Interval
    iqr_us: float
    noise: float | None
    calls: int


def describe_latency(samples: Samples, inputs: Sequence[Sequence[Floats]]) -> Latency:
    """Sum up the calls of a backend in a case; `inputs` has the number of each call's input in the shape of `samples`.

    Raises:
        ValueError: there is only one launch, so their spread is unknown.
    """
    launches = [np.concatenate(rounds) for rounds in samples]
    pooled, of_input = np.concatenate(launches), np.concatenate([numbers for rounds in inputs for numbers in rounds])
    low, high = np.percentile(pooled, [25, 75])
    own = [pooled[of_input == number] for number in np.unique(of_input)]
    relative = [calls / np.median(calls) for calls in own if len(calls) >= REPEATS]
    noise = np.percentile(np.concatenate(relative), [25, 75]) if relative else None

    def tail(share: float) -> Interval | None:
        return percentile(launches, share) if len(pooled) * (1 - share) >= 1 else None

    return Latency(
        p50_us=percentile(launches, 0.5),
        p95_us=tail(0.95),
        p99_us=tail(0.99),
        p999_us=tail(0.999),
        mean_us=mean_of_launches(np.array([calls.mean() for calls in launches])),
        iqr_us=float(high - low),
        noise=None if noise is None else float(noise[1] - noise[0]),
        calls=len(pooled),
    )


def percentile(launches: Sequence[Floats], share: float) -> Interval:
    """Estimate the percentile of all calls together, with a bootstrap interval over launches.

    Calls of one launch share its memory layout and its disturbances, so they are not independent, and launches are
    resampled whole (a cluster bootstrap; Davison & Hinkley 1997, section 3.8). The interval is the
    estimate times or over exp(t s), with s the bootstrap standard error of its logarithm, widened by sqrt(n / (n - 1))
    and Student's t for n - 1 degrees of freedom: a percentile interval of few clusters is far too narrow (Hesterberg
    2015, "What Teachers Should Know about the Bootstrap", section 3.2).

    Raises:
        ValueError: there is only one launch.
    """
    n = len(launches)
    if n < 2:
        raise ValueError(f"{n} launch gives no interval; measure 2 or more")
    values = np.concatenate(launches)
    order = np.argsort(values, kind="stable")
    values, launch = values[order], np.repeat(np.arange(n), [len(calls) for calls in launches])[order]
    counts, weights = _resamples(n)
    logs = np.empty(len(counts))
    for place, count in enumerate(counts):
        below = np.cumsum(count[launch])
        logs[place] = np.log(values[np.searchsorted(below, share * below[-1])])
    mean = float(weights @ logs)
    error = float(np.sqrt(weights @ (logs - mean) ** 2 * n / (n - 1)))
    value, width = float(np.quantile(values, share)), _student(n) * error
    return Interval(value=value, low=value * float(np.exp(-width)), high=value * float(np.exp(width)))


def _resamples(n: int) -> tuple[NDArray[np.int64], Floats]:
    """Return how often each of `n` launches is drawn, int64 `[resamples, n]`, and the probability of each such draw."""
    if n > EXACT_UP_TO:
        drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
        return drawn, np.full(RESAMPLES, 1 / RESAMPLES)
    counts = np.array([np.bincount(launches, minlength=n) for launches in combinations_with_replacement(range(n), n)])
    ways = [factorial(n) / prod(factorial(times) for times in row) for row in counts.tolist()]
    return counts, np.array(ways) / n**n


def speedup(base: Samples, other: Samples) -> Interval:
    """Estimate how many times as fast `other` is as `base`: the geometric mean over launches.

    Within a launch it is the median over rounds of the ratio of the two medians, each over the inputs of both: in a
    round all backends get the same inputs in the same order, and the faster one gets further.
    """
    logs = mean_of_launches(np.log(launch_ratios(base, other)))
    return Interval(value=float(np.exp(logs.value)), low=float(np.exp(logs.low)), high=float(np.exp(logs.high)))


def launch_ratios(base: Samples, other: Samples) -> Floats:
    """Return the ratio of `speedup` for each launch: float64 `[launches]`."""
    return np.array(
        [
            np.median([_ratio(own, other_round) for own, other_round in zip(rounds, theirs, strict=True)])
            for rounds, theirs in zip(base, other, strict=True)
        ]
    )


def _ratio(base: Floats, other: Floats) -> float:
    both = min(len(base), len(other))
    return float(np.median(base[:both]) / np.median(other[:both]))


def change(before: Floats, after: Floats) -> Interval:
    """Estimate how many times as large a number has become, from one value a launch before and after, `[launches]` each
    and positive.

    The launches were not measured together, so their variances add (Welch 1947).

    Raises:
        ValueError: there is only one launch on either side.
    """
    old, new = np.log(before), np.log(after)
    if min(len(old), len(new)) < 2:
        raise ValueError(f"{min(len(old), len(new))} launch gives no interval; measure 2 or more")
    variances = np.array([old.var(ddof=1) / len(old), new.var(ddof=1) / len(new)])
    value, total = float(new.mean() - old.mean()), float(variances.sum())
    freedom = total**2 / float((variances**2 / [len(old) - 1, len(new) - 1]).sum()) if total else 1.0
    width = _student(int(freedom) + 1) * total**0.5
    return Interval(value=float(np.exp(value)), low=float(np.exp(value - width)), high=float(np.exp(value + width)))


def verdict(ratio: Interval) -> str:
    """Say `faster`, `slower` or `cannot tell`: the last whenever the interval holds 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "cannot tell"


def mean_of_launches(values: Floats) -> Interval:
    """Estimate the mean of one value a launch, with Student's t interval.

    Raises:
        ValueError: there is only one launch, so their spread is unknown.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} launch gives no interval; measure 2 or more")
    mean = float(values.mean())
    width = _student(len(values)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return Interval(value=mean, low=mean - width, high=mean + width)


def _student(n: int) -> float:
    return STUDENT_T[min(n - 1, len(STUDENT_T)) - 1]
