"""The rule by which two answers are equal, for every comparison in this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.contract.inputs import Array
from export.contract.signatures import PROBABILITIES, Signature

TOLERANCE = 1e-5  # of the largest |score| of a call
RUNNER_UP = "runner_up"
LARGEST = "largest_score"


@dataclass(frozen=True)
class Comparison:
    """The difference between `actual` and `expected` in one call.

    Attributes:
        error: largest |difference| of the scores, relative to the largest |expected score|; of a user vector, the same
            over its components.
        swaps: places of the ranking that hold another id, allowed because the two scores are equal within tolerance.
        worst_row: the row with the largest difference.
        failure: what breaks parity, or None.
    """

    error: float
    swaps: int
    worst_row: int
    failure: str | None


def compare(
    signature: Signature, expected: Mapping[str, Array], actual: Mapping[str, Array], tolerance: float = TOLERANCE
) -> Comparison:
    """Compare two answers to the same call.

    Scores must be finite and differ by at most `tolerance` times the largest |expected score|. Only where a score of
    -inf says that nothing is there (an unknown candidate, a place of `top_k` that the catalogue cannot fill) may it
    stand, and then on both sides. The best ids must be the same in the same order, except where two scores differ by no
    more than twice the tolerance (each may be off by it once): then either order is right. An id that `expected` does
    not list is right only where `expected["runner_up"]`, float32 `[batch]`, the best score below the list, is as close
    to the place that it takes; without it, never.

    Probabilities, which a click model gives beside its scores, may differ by `tolerance`.

    Where the numbers of a call may all be small by chance, as the score of a single candidate, errors are relative to
    `expected["largest_score"]`, float32 `[batch]`: the largest |score| of the whole catalogue, or more where float32
    itself is further off than the tolerance of that (`export.proof.prove`).
    """
    for spec in signature.outputs:
        if spec.name not in actual or actual[spec.name].shape != expected[spec.name].shape:
            actual_shape = list(actual[spec.name].shape) if spec.name in actual else "missing"
            return Comparison(np.inf, 0, 0, f"{spec.name} is {actual_shape}, not {list(expected[spec.name].shape)}")
    name = signature.output_names[-1]
    expected_numbers, actual_numbers = expected[name].astype(np.float64), actual[name].astype(np.float64)
    absent = np.isneginf(expected_numbers) & np.isneginf(actual_numbers) & signature.kind.may_be_absent
    broken = ~(np.isfinite(expected_numbers) & np.isfinite(actual_numbers) | absent).all(axis=1)
    if broken.any():
        return Comparison(np.inf, 0, int(broken.argmax()), f"NaN or inf in row {broken.argmax()}")
    largest = np.abs(expected_numbers, where=~absent, out=np.zeros_like(expected_numbers)).max()
    scale = max(float(largest), float(np.max(expected.get(LARGEST, 0))), float(np.finfo(np.float32).tiny))
    row_errors = np.subtract(actual_numbers, expected_numbers, where=~absent, out=np.zeros_like(expected_numbers))
    row_errors = np.abs(row_errors).max(axis=1) / scale
    worst = int(row_errors.argmax())
    error = float(row_errors[worst])
    if error > tolerance:
        failure = f"row {worst} is off by {error:.2e} of the largest {name}, {tolerance:.0e} is allowed"
        return Comparison(error, 0, worst, failure)
    if wrong_probability := _wrong_probability(signature, expected, actual, tolerance):
        return Comparison(error, 0, *wrong_probability)
    if signature.kind.ranked == 0:
        return Comparison(error, 0, worst, None)
    want_ids, want_scores = _ranking(signature, expected)
    got_ids, _ = _ranking(signature, actual)
    if signature.kind.picks:
        below = expected.get(RUNNER_UP, np.full(len(expected_numbers), -np.inf)).astype(np.float64)
    else:
        below = runner_up(expected_numbers, want_ids.shape[1])
    swaps, wrong = _swaps(want_ids, want_scores, got_ids, below, 2 * tolerance * scale)
    return Comparison(error, swaps, worst, wrong)


def _wrong_probability(
    signature: Signature, expected: Mapping[str, Array], actual: Mapping[str, Array], tolerance: float
) -> tuple[int, str] | None:
    """Return the row of the first probability that is off by more than the tolerance, and a message; None without."""
    if PROBABILITIES not in signature.output_names:
        return None
    errors = np.abs(actual[PROBABILITIES].astype(np.float64) - expected[PROBABILITIES]).max(axis=1)
    row = int((~(errors <= tolerance)).argmax())
    if errors[row] <= tolerance:
        return None
    return row, f"row {row} has a probability that is off by {errors[row]:.2e}, {tolerance:.0e} is allowed"


def _ranking(signature: Signature, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
    scores, ranked = outputs[signature.output_names[-1]].astype(np.float64), signature.kind.ranked
    if signature.kind.picks:
        return outputs[signature.outputs[0].name], scores
    best = np.arange(scores.shape[1])[None].repeat(len(scores), axis=0)
    if ranked is not None and scores.shape[1] > ranked:  # a catalogue is not sorted for its best ten
        best = np.sort(np.argpartition(-scores, ranked, axis=1)[:, :ranked], axis=1)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)


def runner_up(all_scores: Array, k: int) -> Array:
    """Return the score of place k + 1 of each row of `all_scores` `[batch, num_items]`, or -inf: float `[batch]`."""
    if k >= all_scores.shape[1]:
        return np.full(len(all_scores), -np.inf, dtype=all_scores.dtype)
    return np.partition(all_scores, -k - 1, axis=1)[:, -k - 1]


def _swaps(want_ids: Array, want_scores: Array, got_ids: Array, below: Array, noise: float) -> tuple[int, str | None]:
    """Count the places with another id; describe the first one that is wrong, if any."""
    swaps = 0
    for row, place in np.argwhere(want_ids != got_ids):
        swaps += 1
        here = f"row {row} has {_shown(got_ids[row, place])} in place {place + 1}, where"
        if np.isneginf(want_scores[row, place]):
            return swaps, f"{here} nothing is left to stand"
        same = np.flatnonzero(want_ids[row] == got_ids[row, place])
        score = want_scores[row, same[0]] if len(same) else below[row]
        if score != want_scores[row, place] and abs(score - want_scores[row, place]) > noise:
            return swaps, f"{here} {_shown(want_ids[row, place])} scores clearly more"
        named = got_ids[row][np.isfinite(want_scores[row])]
        if len(np.unique(named)) < len(named):
            return swaps, f"row {row} names an id twice"
    return swaps, None


def _shown(raw_id: Any) -> str:
    """Write an id as in a table, quoted if it is text."""
    return repr(raw_id) if isinstance(raw_id, str) else str(raw_id)
