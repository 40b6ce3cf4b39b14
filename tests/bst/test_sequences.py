import numpy as np
import pytest

from bst import Sequences, leave_one_out
from bst.sequences import TrainingWindows


def sequences(*histories: list[int], context: list[list[int]] | None = None) -> Sequences:
    flat = np.array([item for history in histories for item in history], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
    values = np.array(context if context is not None else np.zeros((len(histories), 0)), dtype=np.int32)
    return Sequences(flat, offsets, values)


SMALL = sequences([5, 2, 9, 4], [7, 7], [1, 4, 4, 8, 3], context=[[1], [2], [3]])


def test_the_last_event_is_for_testing_and_the_one_before_for_validation() -> None:
    split = leave_one_out(SMALL)
    test = split.test.batch(slice(None), 10)
    assert test.targets.tolist() == [4, 3]
    assert test.items.tolist() == [[0, 5, 2, 9], [1, 4, 4, 8]]
    assert test.context.tolist() == [[1], [3]]
    validation = split.validation.batch(slice(None), 10)
    assert validation.targets.tolist() == [9, 8]
    assert validation.items.tolist() == [[0, 5, 2], [1, 4, 4]]
    assert split.too_short == 1


def test_histories_are_cut_to_the_newest() -> None:
    assert leave_one_out(SMALL).test.batch(slice(None), 2).items.tolist() == [[2, 9], [4, 8]]


def test_training_never_touches_what_is_predicted() -> None:
    split = leave_one_out(SMALL)
    windows = TrainingWindows(SMALL, split.train_stops, max_length=10)
    users, first, last = windows.epoch(np.random.default_rng(0))
    batch = windows.batch(users, first, last)
    pairs = {
        (user, item, target)
        for user, items, targets in zip(users.tolist(), batch.items.tolist(), batch.targets.tolist(), strict=True)
        for item, target in zip(items, targets, strict=True)
        if target
    }
    assert pairs == {(0, 5, 2), (1, 7, 7), (2, 1, 4), (2, 4, 4)}


@pytest.mark.parametrize("max_length", [1, 2, 3, 7, 50])
def test_every_event_but_the_first_is_a_target_once_an_epoch(max_length: int) -> None:
    rng = np.random.default_rng(1)
    histories = [rng.integers(1, 1000, rng.integers(1, 30)).tolist() for _ in range(40)]
    data = sequences(*histories)
    windows = TrainingWindows(data, data.offsets[1:], max_length)
    seen: list[list[int]] = []
    for _ in range(3):  # the cuts move; the examples stay
        users, first, last = windows.epoch(rng)
        assert (last - first).max() <= max_length
        assert (last > first).all()
        batch = windows.batch(users, first, last)
        rows, slots = np.nonzero(batch.targets.numpy())
        found = sorted(
            zip(
                users[rows].tolist(),
                batch.items.numpy()[rows, slots].tolist(),
                batch.targets[rows, slots].tolist(),
                strict=True,
            )
        )
        expected = sorted(
            (user, history[t - 1], history[t]) for user, history in enumerate(histories) for t in range(1, len(history))
        )
        assert found == expected
        assert windows.num_examples == len(expected)
        seen.append(sorted(first.tolist()))
    assert {len(one) for one in seen} == {windows.num_windows}
    if 1 < max_length < 29:
        assert seen[0] != seen[1]


def test_the_context_of_an_event_is_the_one_its_target_took_place_in() -> None:
    data = sequences([5, 2, 9], [7, 8, 6], context=[[1], [2], [3], [4], [5], [6]])
    windows = TrainingWindows(data, data.offsets[1:], max_length=5)
    users, first, last = windows.epoch(np.random.default_rng(0))
    batch = windows.batch(users, first, last)
    by_user = dict(zip(users.tolist(), batch.context[..., 0].tolist(), strict=True))
    assert by_user == {0: [2, 3], 1: [5, 6]}
    assert leave_one_out(data).test.batch(slice(None), 5).context.tolist() == [[3], [6]]


def test_what_a_history_holds_is_listed_whole() -> None:
    rows, items = leave_one_out(SMALL).test.seen(slice(0, 2))
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == [
        (0, 5),
        (0, 2),
        (0, 9),
        (1, 1),
        (1, 4),
        (1, 4),
        (1, 8),
    ]
