"""What samples say, and how sure of it one can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
NOISY = 0.10  # an IQR above this share of the median makes a measurement doubt itself

Samples = list[NDArray[np.float64]]  # one array a round


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95 % bootstrap interval (Efron & Tibshirani, 1993, percentile method)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Latency of one backend at one batch size, microseconds a call, over all rounds together.

    `p50_us` carries an interval over rounds, because samples within a round share whatever disturbed it.
    """

    p50_us: Interval
    p95_us: float
    p99_us: float
    mean_us: float
    iqr_us: float
    calls: int

    @classmethod
    def of(cls, rounds: Samples) -> Latency:
        pooled = np.concatenate(rounds)
        low, p50, high, p95, p99 = np.percentile(pooled, [25, 50, 75, 95, 99])
        medians = np.array([np.median(samples) for samples in rounds])
        bounds = bootstrap(medians)
        return cls(
            p50_us=Interval(float(p50), min(bounds.low, float(p50)), max(bounds.high, float(p50))),
            p95_us=float(p95),
            p99_us=float(p99),
            mean_us=float(pooled.mean()),
            iqr_us=float(high - low),
            calls=len(pooled),
        )

    @property
    def noisy(self) -> bool:
        return self.iqr_us > NOISY * self.p50_us.value


def speedup(base: Samples, other: Samples) -> Interval:
    """How many times faster `other` is than `base`: the median over rounds of the ratio of their medians.

    Rounds are paired, since both backends ran in each of them, one right after the other.
    """
    pairs = zip(base, other, strict=True)
    return bootstrap(np.array([np.median(before) / np.median(after) for before, after in pairs]))


def verdict(ratio: Interval) -> str:
    """Say `faster`, `slower` or `cannot tell`: the last whenever the interval holds 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "cannot tell"


def bootstrap(
    values: NDArray[np.float64], statistic: Callable[..., NDArray[np.float64]] = np.median, seed: int = 0
) -> Interval:
    """Estimate `statistic` of `values` and its interval from resamples with replacement, seeded."""
    drawn = np.random.default_rng(seed).choice(values, size=(RESAMPLES, len(values)))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(statistic(drawn, axis=1), [tail, 100 - tail])
    return Interval(float(statistic(values)), float(low), float(high))
