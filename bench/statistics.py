"""What samples say, and how sure of it one can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
NOISY = 0.10  # an IQR above this share of the median makes a measurement doubt itself

Samples = list[list[NDArray[np.float64]]]  # of each launch, of each round: one number a call


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95 % bootstrap interval (Efron & Tibshirani, 1993, percentile method)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Latency of one backend at one batch size, microseconds a call, over all launches and rounds together.

    `p50_us` carries an interval over launches and rounds, because the calls of a round share whatever disturbed it, and
    the rounds of a launch share where its memory came to lie.
    """

    p50_us: Interval
    p95_us: float
    p99_us: float
    mean_us: float
    iqr_us: float
    calls: int

    @classmethod
    def of(cls, samples: Samples) -> Latency:
        pooled = np.concatenate([calls for rounds in samples for calls in rounds])
        low, p50, high, p95, p99 = np.percentile(pooled, [25, 50, 75, 95, 99])
        bounds = bootstrap(_medians(samples))
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
    return bootstrap(_medians(base) / _medians(other))


def verdict(ratio: Interval) -> str:
    """Say `faster`, `slower` or `cannot tell`: the last whenever the interval holds 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "cannot tell"


def bootstrap(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Median of `values` `[launches, rounds]` with its interval, seeded.

    Launches are drawn with replacement first, then rounds within each (the hierarchical bootstrap of Davison & Hinkley,
    1997, section 3.8), so that what differs from launch to launch widens the interval.
    """
    launches, rounds = values.shape
    rng = np.random.default_rng(seed)
    launch = rng.integers(0, launches, (RESAMPLES, launches, 1))
    drawn = values[launch, rng.integers(0, rounds, (RESAMPLES, launches, rounds))]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.median(drawn, axis=(1, 2)), [tail, 100 - tail])
    return Interval(float(np.median(values)), float(low), float(high))


def _medians(samples: Samples) -> NDArray[np.float64]:
    return np.array([[np.median(calls) for calls in rounds] for rounds in samples])
