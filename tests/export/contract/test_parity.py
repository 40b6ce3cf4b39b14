"""The rule of equality: what passes, and that it can fail."""

import numpy as np
import pytest

from export import Signature, TensorSpec, compare
from export.contract.parity import LARGEST, runner_up
from export.proof.expected import scales

ALL = Signature(
    name="all_scores",
    ids="raw",
    inputs=(),
    outputs=(TensorSpec(name="scores", dtype="float32", shape=("batch", 4)),),
)
TOP = Signature(
    name="top_k",
    ids="raw",
    inputs=(),
    outputs=(
        TensorSpec(name="item_ids", dtype="int64", shape=("batch", 3)),
        TensorSpec(name="scores", dtype="float32", shape=("batch", 3)),
    ),
)


CANDIDATES = ALL.model_copy(update={"name": "score_candidates"})
VECTOR = Signature(
    name="encode_user",
    ids="raw",
    inputs=(),
    outputs=(TensorSpec(name="user_vector", dtype="float32", shape=("batch", 4)),),
)


def scores(*rows: list[float]) -> dict[str, np.ndarray]:
    return {"scores": np.array(rows, dtype=np.float32)}


def top(ids: list[int], values: list[float]) -> dict[str, np.ndarray]:
    return {"item_ids": np.array([ids]), **scores(values)}


def test_equal_answers_pass_with_no_error() -> None:
    found = compare(ALL, scores([1, 2, 3, 4]), scores([1, 2, 3, 4]))
    assert (found.error, found.swaps, found.failure) == (0.0, 0, None)


def test_the_error_is_relative_to_the_largest_score() -> None:
    assert compare(ALL, scores([0, 0, 1, -50]), scores([0, 0, 1.0001, -50])).error == pytest.approx(2e-6, rel=0.05)


def test_an_error_beyond_tolerance_fails_and_names_the_row() -> None:
    found = compare(ALL, scores([1, 2, 3, 4], [1, 2, 3, 4]), scores([1, 2, 3, 4], [1, 2, 3.01, 4]))
    assert found.worst_row == 1
    assert found.failure is not None
    assert "row 1 is off by 2.5" in found.failure


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["expected", "actual"])
def test_nan_and_inf_fail_on_either_side(bad: float, side: str) -> None:
    good, broken = scores([1, 2, 3, 4]), scores([1, 2, bad, 4])
    found = compare(ALL, *((broken, good) if side == "expected" else (good, broken)))
    assert found.failure == "NaN or inf in row 0"


def test_nan_on_both_sides_fails_too() -> None:
    assert compare(ALL, scores([np.nan] * 4), scores([np.nan] * 4)).failure is not None


def test_a_swap_of_scores_within_the_noise_is_counted_and_allowed() -> None:
    found = compare(TOP, top([7, 8, 9], [4.0, 3.0, 2.99999]), top([7, 9, 8], [4.0, 3.0, 2.99999]))
    assert (found.swaps, found.failure) == (2, None)


def test_a_swap_of_scores_that_differ_fails() -> None:
    found = compare(TOP, top([7, 8, 9], [4.0, 3.0, 2.9]), top([7, 9, 8], [4.0, 3.0, 2.9]))
    assert found.failure is not None
    assert "place 2" in found.failure


def test_an_id_that_is_not_listed_fails_unless_the_runner_up_is_level() -> None:
    expected, other = top([7, 8, 9], [4.0, 3.0, 2.0]), top([7, 8, 5], [4.0, 3.0, 2.0])
    assert compare(TOP, expected, other).failure is not None
    assert compare(TOP, {**expected, "runner_up": np.array([1.9])}, other).failure is not None
    level = {**expected, "runner_up": np.array([1.99999])}
    assert compare(TOP, level, other).failure is None
    assert compare(TOP, level, top([7, 5, 9], [4.0, 3.0, 2.0])).failure is not None


def test_a_single_best_id_that_is_wrong_fails() -> None:
    one = Signature(
        name="top_k",
        ids="raw",
        inputs=(),
        outputs=tuple(spec.model_copy(update={"shape": ("batch", 1)}) for spec in TOP.outputs),
    )
    assert compare(one, top([7], [4.0]), top([999], [4.0])).failure is not None


def test_the_runner_up_is_the_best_score_below_the_list() -> None:
    found = runner_up(np.array([[5.0, 1.0, 4.0, 3.0], [2.0, 2.0, 2.0, 1.0]]), 2)
    assert found.tolist() == [3.0, 2.0]
    assert runner_up(np.ones((1, 2)), 2).tolist() == [-np.inf]


def test_an_id_that_is_named_twice_fails() -> None:
    found = compare(TOP, top([7, 8, 9], [4.0, 3.0, 3.0]), top([7, 8, 8], [4.0, 3.0, 3.0]))
    assert found.failure is not None
    assert "twice" in found.failure


def test_a_ranking_that_differs_in_all_scores_fails_even_where_errors_are_small() -> None:
    expected = scores([1000.0, 0.02, 0.01, 0.0])
    assert compare(ALL, expected, scores([1000.0, 0.015, 0.016, 0.0])).failure is None  # within 1e-5 of 1000
    assert compare(ALL, expected, scores([1000.0, 0.015, 0.016, 0.0]), tolerance=1e-8).failure is not None


def test_another_shape_or_a_missing_output_fails() -> None:
    assert compare(ALL, scores([1, 2, 3, 4]), scores([1, 2, 3])).failure == "scores is [1, 3], not [1, 4]"
    assert compare(TOP, top([1, 2, 3], [3, 2, 1]), scores([3, 2, 1])).failure == "item_ids is missing, not [1, 3]"


def test_a_candidate_that_nobody_knows_is_minus_infinity_on_both_sides_or_fails() -> None:
    expected = scores([1, -np.inf, 3, 2])
    assert compare(CANDIDATES, expected, expected).failure is None
    assert compare(CANDIDATES, expected, scores([1, -100, 3, 2])).failure == "NaN or inf in row 0"
    assert compare(CANDIDATES, scores([1, -100, 3, 2]), expected).failure == "NaN or inf in row 0"
    assert compare(CANDIDATES, scores([1, np.inf, 3, 2]), scores([1, np.inf, 3, 2])).failure is not None
    assert compare(ALL, expected, expected).failure is not None


def test_places_that_nothing_fills_are_equal() -> None:
    expected = top([7, 0, 0], [4.0, -np.inf, -np.inf])
    assert compare(TOP, expected, expected).failure is None
    assert "nothing is left" in str(compare(TOP, expected, top([7, 5, 0], [4.0, -np.inf, -np.inf])).failure)
    assert compare(TOP, expected, top([7, 5, 0], [4.0, 1.0, -np.inf])).failure is not None


def test_candidates_are_compared_as_a_ranking_too() -> None:
    expected = scores([1000.0, 0.02, 0.01, 0.0])
    assert compare(CANDIDATES, expected, scores([1000.0, 0.015, 0.016, 0.0]), tolerance=1e-8).failure is not None


def test_user_vectors_are_compared_by_component_and_have_no_ranking() -> None:
    want, other = ({"user_vector": np.array([values], dtype=np.float32)} for values in ([2, 1, 1, -4], [2, 1, 1.1, -4]))
    assert compare(VECTOR, want, want).failure is None
    assert "of the largest user_vector" in str(compare(VECTOR, want, other).failure)


def test_a_row_of_small_scores_is_judged_by_them_unless_float32_cannot() -> None:
    ordinary = [np.random.default_rng(seed).normal(size=(1, 4)) for seed in range(9)]
    small = np.array([[1e-5, 2e-5, 3e-5, 4e-5]])
    for off, fails in ((1e-7, True), (2e-5, False)):
        outputs = [one.astype(np.float32) for one in (*ordinary, small)]
        expected = {"scores": outputs[-1], LARGEST: scales(outputs, [one + off for one in outputs])[-1]}
        found = compare(ALL, expected, {"scores": outputs[-1][:, ::-1]})
        assert (found.failure is not None) == fails
