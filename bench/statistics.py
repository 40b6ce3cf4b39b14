"""What samples say, and how sure of it one can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Two-sided 95 % points of Student's t by degrees of freedom, from 1; beyond the table the last is used, a little wide.
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
NOISY = 0.10  # an IQR above this share of the median makes a measurement doubt itself

Samples = list[list[NDArray[np.float64]]]  # of each launch, of each round: one number a call


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Latency of one backend at one batch size, microseconds a call, over all launches and rounds together.

    `p50_us` is the mean over launches of the median of each, with an interval over launches: calls of one launch share
    where its memory came to lie and are no independent witnesses. The other percentiles are of all calls together.
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
        low, high, p95, p99 = np.percentile(pooled, [25, 75, 95, 99])
        return cls(
            p50_us=mean_of_launches(np.array([np.median(np.concatenate(rounds)) for rounds in samples])),
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
    """How many times faster `other` is than `base`: the geometric mean over launches.

    Within a launch it is the median over rounds of the ratio of the two medians: both ran in each round.
    """
    ratios = np.log(_medians(base) / _medians(other))
    logs = mean_of_launches(np.median(ratios, axis=1))
    return Interval(float(np.exp(logs.value)), float(np.exp(logs.low)), float(np.exp(logs.high)))


def verdict(ratio: Interval) -> str:
    """Say `faster`, `slower` or `cannot tell`: the last whenever the interval holds 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "cannot tell"


def mean_of_launches(values: NDArray[np.float64]) -> Interval:
    """Mean of one value a launch, with Student's t interval: honest for few launches, which a bootstrap is not.

    Raises:
        ValueError: there is only one launch, which says nothing of how they differ.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} launch gives no interval; measure 2 or more")
    mean = float(values.mean())
    width = STUDENT_T[min(len(values) - 1, len(STUDENT_T)) - 1] * float(values.std(ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - width, mean + width)


def _medians(samples: Samples) -> NDArray[np.float64]:
    return np.array([[np.median(calls) for calls in rounds] for rounds in samples])
