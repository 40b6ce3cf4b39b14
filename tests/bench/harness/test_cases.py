"""The inputs that are timed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.harness.cases import MIN_POOL, draw_calls, draw_inputs, first_input, held_out, measured_lengths, pool_size
from bench.record.record import Case
from export import open_bundle


def case(batch_size: int, *, num_items: int = 40, length: int = 0, candidates: int = 0) -> Case:
    return Case(num_items=num_items, threads=1, batch_size=batch_size, length=length, candidates=candidates)


def test_inputs_are_many_different_rows_of_the_lengths_of_real_users(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    calls = draw_inputs(bundle, "top_k", case(8))
    assert len(calls) == pool_size(case(8)) == 128
    assert len({call["history"].tobytes() for call in calls}) == len(calls)
    lengths = {int(one) for one in measured_lengths(bundle)}
    found = {int((row != 0).sum()) for call in calls for row in call["history"]}
    assert found <= lengths
    assert len(found) > 3
    again = draw_inputs(bundle, "top_k", case(8))
    assert all(np.array_equal(one["history"], two["history"]) for one, two in zip(calls, again, strict=True))


def test_a_row_is_a_part_of_the_history_of_a_held_out_user_in_its_order(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    users = held_out(bundle)
    histories, contexts = users.histories, users.per_request["context"]
    for call in draw_calls(bundle, case(8))[:4]:
        for row, context in zip(call.items, call.context, strict=True):
            items = row[row > 0]
            # Round and round: whoever is its user, walking along the history meets the items one after the other.
            assert any(
                _meets(np.tile(history, 2 + 2 * len(items) // len(history)), items)
                for history, of_user in zip(histories, contexts, strict=True)
                if np.array_equal(context, of_user)
            )


def _meets(path: NDArray[np.int64], items: NDArray[np.int64]) -> bool:
    steps = iter(path.tolist())
    return all(item in steps for item in items.tolist())


def test_candidates_follow_zipfs_law(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    ids = np.concatenate(
        [call["candidates"].ravel() for call in draw_inputs(bundle, "score_candidates", case(8, candidates=50))]
    )
    assert set(np.unique(ids)) <= set(bundle.vocabularies.items.ids)
    counts = np.sort(np.unique(ids, return_counts=True)[1])[::-1]
    expected = counts.sum() / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()
    assert np.allclose(counts[:10], expected[:10], rtol=0.15)


def test_a_length_is_kept_to_the_slot(bundle_path: Path) -> None:
    for call in draw_inputs(open_bundle(bundle_path), "top_k", case(3, length=5)):
        assert call["history"].shape == (3, 5)
        assert (call["history"] != 0).all()


def test_the_pool_shrinks_for_what_is_large() -> None:
    assert pool_size(case(1)) == 128
    assert pool_size(case(4096)) == MIN_POOL
    assert pool_size(case(1, num_items=1_000_000)) == 64
    assert pool_size(case(1), most=16) == 16


def test_a_smaller_pool_holds_the_first_calls_of_a_larger_one(bundle_path: Path) -> None:
    few, many = (draw_inputs(open_bundle(bundle_path), "top_k", case(8), most=most) for most in (9, 128))
    assert len(few) == 9
    assert all(np.array_equal(one["history"], two["history"]) for one, two in zip(few, many, strict=False))


def test_every_input_comes_first_in_some_round() -> None:
    assert {first_input(launch, number, 32) for launch in range(40) for number in range(3)} == set(range(32))
