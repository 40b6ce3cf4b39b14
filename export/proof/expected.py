"""The answers that a format is compared with, and what their errors are relative to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.contract.inputs import Array
from export.contract.parity import TOLERANCE
from export.contract.signatures import Signature
from export.proof.golden import Call, GoldenCall

EAGER_ERRORS = 4  # a format may differ from eager float32 by so many times the error of that against float64,
MOST_CANCELLED = 10  # but no more than so many times the tolerance


@dataclass(frozen=True)
class Expected:
    """The answers of the model to every case of one signature: in float32 (golden), and in float64 the last output."""

    signature: Signature
    cases: Sequence[Call]
    golden: Sequence[GoldenCall]
    truth: Sequence[Array]


def scales(outputs: Sequence[Array], truth: Sequence[Array]) -> list[Array]:
    """Return what errors of each row of each answer are relative to: float32 `[batch]`, its largest number.

    The numbers of a row may be small by chance where there are few, as the scores of a catalogue of two items, or in
    every row, where larger numbers cancel. Rounding errors do not shrink with them, so each scale is at least so large
    that `EAGER_ERRORS` times the largest error of eager float32 is allowed. That has a bound, so that a model that
    float32 cannot compute is not proven by it.
    """
    rows = [np.abs(values).max(axis=1) for values in outputs]
    typical = np.median(np.concatenate(rows))
    off = max(float(np.abs(values - exact).max()) for values, exact in zip(outputs, truth, strict=True))
    least = np.float32(min(off * EAGER_ERRORS / TOLERANCE, typical * MOST_CANCELLED))
    return [np.maximum(row, least) for row in rows]


def relative(values: Array, exact: Array, largest: Array | None) -> float:
    there = np.isfinite(exact)
    scales = (np.abs(exact[there]).max(initial=0), 0 if largest is None else largest.max())
    scale = max(*map(float, scales), float(np.finfo(np.float32).tiny))
    return float(np.abs(values[there].astype(np.float64) - exact[there]).max(initial=0)) / scale
