"""Tuning: the fastest options of ONNX Runtime's session on this machine, each tried in a process of its own.

Thread pools of two sessions in one process disturb each other, and so do two processes, so only one runs at a time.
Each option is timed beside the best so far, in turns for `ROUNDS` rounds, and kept only if it was faster in every
round, and by more than `MARGIN` in the mean over rounds and batch sizes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bst.system.console import Tell
from bst.system.machine import cpu_model
from bst.system.processes import in_own_process
from export.contract.choices import Rates, Tuning, TuningRow
from export.contract.inputs import Arrays
from export.contract.manifest import FormatRecord
from export.contract.settings import SessionOptions
from export.contract.signatures import Signature
from export.proof.golden import read_golden
from export.sessions.session import OnnxSession

STEPS = (("threads", 1), ("spinning", False), ("arena", False), ("prepacking", False))
BATCH_SIZES = (1, 32)
ROUNDS = 3
SECONDS = 0.4  # a batch size in a round
MARGIN = 0.03


def tune(
    bundle: Path, record: FormatRecord, signature: Signature, rates: Rates, tell: Tell = lambda step: None
) -> Tuning:
    """Measure on this machine; the manifest keeps the result, and `Bundle.session` applies it.

    Args:
        record: of the format onnx.
        signature: the one that is timed, at its level.
        rates: those by which the shortlist was chosen.
    """
    medians: dict[SessionOptions, list[list[float]]] = {}
    best = SessionOptions()
    for name, value in STEPS:
        if name == "spinning" and best.threads == 1:
            continue  # a single thread does not wait
        candidate = best.model_copy(update={name: value})
        _measure_by_turns(bundle, record, signature, [best, candidate], medians, tell)
        best = candidate if _ratio(medians[best], medians[candidate]) < 1 else best
    rows = [
        TuningRow(options=options, batch_size=size, p50_us=float(np.median(p50)), rounds=len(p50))
        for options, rounds in medians.items()
        for size, p50 in zip(BATCH_SIZES, np.array(rounds).T, strict=True)
    ]
    return Tuning(cpu=cpu_model(), cores=os.cpu_count() or 1, options=best, rows=tuple(rows), rates=rates)


def _ratio(base: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """Return the time of `other` relative to that of `base`; 1 where it is not clearly less."""
    ratios = np.exp(np.log(np.array(other[-ROUNDS:]) / np.array(base[-ROUNDS:])).mean(axis=1))  # of each round
    return float(ratios.mean()) if ratios.max() < 1 and ratios.mean() < 1 - MARGIN else 1.0


def _measure_by_turns(
    bundle: Path,
    record: FormatRecord,
    signature: Signature,
    candidates: Sequence[SessionOptions],
    medians_by_options: dict[SessionOptions, list[list[float]]],
    tell: Tell,
) -> None:
    for number in range(ROUNDS):
        for options in candidates if number % 2 == 0 else candidates[::-1]:
            tell(f"tuning, round {number + 1} of {ROUNDS}: {options}")
            new_medians = in_own_process(_medians, bundle, record, signature, options)
            medians_by_options.setdefault(options, []).append(new_medians)


def _medians(bundle: Path, record: FormatRecord, signature: Signature, options: SessionOptions) -> list[float]:
    """Return the microseconds of the median call, of each batch size."""
    session = OnnxSession(signature, bundle / record.entries[signature.name].path, options=options)
    medians = []
    for size in BATCH_SIZES:
        calls = [session.prepare(call) for call in _calls(bundle / record.golden, signature, size)]
        samples: list[float] = []
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until or len(samples) < 2 * len(calls):
            call = calls[len(samples) % len(calls)]
            started = time.perf_counter()
            session.run(call)
            samples.append((time.perf_counter() - started) * 1e6)
        medians.append(float(np.median(samples[len(calls) :])))
    return medians


def _calls(golden_folder: Path, signature: Signature, size: int) -> list[Arrays]:
    """Make batches of the users in the golden vectors, each of other rows."""
    golden = [call.inputs for call in read_golden(golden_folder, signature)]
    largest = max(golden, key=lambda call: next(iter(call.values())).size)
    count = len(next(iter(largest.values())))
    rng = np.random.default_rng(0)

    def rows(array: NDArray[np.generic], picked: NDArray[np.int64]) -> NDArray[np.generic]:
        return array if len(array) != count else array[picked]

    picks = [rng.integers(0, count, size) for _ in range(8)]
    return [{name: rows(array, picked) for name, array in largest.items()} for picked in picks]
