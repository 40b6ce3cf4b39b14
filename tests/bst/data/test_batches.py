from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from bst import InputError, leave_one_out
from bst.data.batches import left_pad
from bst.data.vocabulary import Index
from bst.data.windows import STEPS_A_BATCH, Epoch, TrainingWindows, Windowed, alike, batches_an_epoch
from tests.bst.data.test_sequences import SMALL, sequences


def together(batches: Sequence[Windowed]) -> tuple[Index, Index, Index, Index]:
    """Join the windows of an epoch's batches."""
    users, first, last, predicting = (np.concatenate([batch[place] for batch in batches]) for place in range(4))
    return users, first, last, predicting


def test_histories_are_cut_to_the_newest() -> None:
    assert leave_one_out(SMALL).test.batch(slice(None), 2).items.tolist() == [[2, 9], [4, 8]]


def test_training_never_touches_what_is_predicted() -> None:
    split = leave_one_out(SMALL)
    windows = TrainingWindows(SMALL, split.train_stops, max_length=10)
    users, first, last, _ = together(windows.epoch(np.random.default_rng(0), 3))
    batch = windows.batch(users, first, last)
    pairs = {
        (user, item, target)
        for user, items, targets in zip(users.tolist(), batch.items.tolist(), batch.targets.tolist(), strict=True)
        for item, target in zip(items, targets, strict=True)
        if target
    }
    assert pairs == {(0, 5, 2), (1, 7, 7), (2, 1, 4), (2, 4, 4)}


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("max_length", [1, 2, 3, 7, 50])
def test_every_event_but_the_first_is_a_target_once_an_epoch(max_length: int, overlap: float) -> None:
    rng = np.random.default_rng(1)
    histories = [rng.integers(1, 1000, rng.integers(1, 30)).tolist() for _ in range(40)]
    data = sequences(*histories)
    windows = TrainingWindows(data, data.offsets[1:], max_length)
    seen: list[list[int]] = []
    for _ in range(3):  # the cuts move; the examples stay
        users, first, last, predicting = together(windows.epoch(rng, 60, overlap=overlap))
        assert (last - first).max() <= max_length
        assert (last > predicting).all()
        batch = windows.batch(users, first, last, predicting)
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
    assert len({len(starts) for starts in seen}) == 1
    if max_length * (1 - overlap) > 1 and max_length < 29:  # windows that move by one event have no choice
        assert seen[0] != seen[1]


@pytest.mark.parametrize("event_dropout", [0.0, 0.3])
def test_a_target_has_the_overlap_before_it_or_all_of_its_history(event_dropout: float) -> None:
    rng = np.random.default_rng(0)
    data = sequences(*(list(range(1, length + 1)) for length in rng.integers(2, 60, 30)))
    windows = TrainingWindows(data, data.offsets[1:], 10)
    without = 0
    for arguments in windows.epoch(rng, 40, event_dropout, overlap=0.6):
        batch = windows.batch(*arguments)
        rows, slots = np.nonzero(batch.targets.numpy())
        items = batch.items.numpy()
        for row, slot in zip(rows, slots, strict=True):
            read = items[row, : slot + 1][items[row, : slot + 1] > 0]
            kept = arguments.kept if arguments.kept is not None else np.ones(len(data.items), np.bool_)
            before = data.offsets[arguments.users[row]] + np.arange(read[-1])  # item n is the n-th event
            expected = before[-min(7, read[-1]) :]
            assert set(expected[kept[expected]] - before[0] + 1) <= set(read.tolist())
            without += len(read) < 7
    assert without > 0


def test_batches_hold_little_padding_and_come_in_random_order() -> None:
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.integers(2, 100, 4000)))
    windows = TrainingWindows(data, data.offsets[1:], 200)

    batches = windows.epoch(np.random.default_rng(1), 1600)
    assert sorted(np.concatenate([users for users, *_ in batches])) == list(range(4000))
    lengths = [last - first for _, first, last, *_ in batches]
    cells = sum(len(batch) * batch.max() for batch in lengths)
    assert windows.num_examples > 0.9 * cells  # in random order it is less than 0.6
    trend = np.corrcoef([batch.mean() for batch in lengths], np.arange(len(lengths)))[0, 1]
    assert abs(trend) < 0.3  # short windows do not come first


def test_batches_hold_little_padding_where_events_are_left_out() -> None:
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.integers(2, 100, 4000)))
    windows = TrainingWindows(data, data.offsets[1:], 200)
    batches = windows.epoch(rng, 1600, event_dropout=0.3)
    kept = batches[0].kept
    assert kept is not None
    targets = [windows.batch(*arguments).targets > 0 for arguments in batches]
    kept_events = np.add.reduceat(kept, data.offsets[:-1], dtype=np.int64)
    assert sum(int(there.sum()) for there in targets) == np.maximum(kept_events - 1, 0).sum()
    assert all(bool(there.any(dim=1).all()) for there in targets)  # no row predicts nothing
    # By the length before events are left out, it would be 0.8.
    assert sum(int(there.sum()) for there in targets) > 0.9 * sum(there.numel() for there in targets)


def test_where_hardly_an_event_is_left_there_are_as_many_batches() -> None:
    data = sequences(*([1] * 5 for _ in range(20)))
    windows = TrainingWindows(data, data.offsets[1:], 30)
    batches = windows.epoch(np.random.default_rng(0), 10, event_dropout=0.99)
    assert len(batches) == windows.num_batches(10) == 8
    assert all(len(users) for users, *_ in batches)


@pytest.mark.parametrize(("longest", "batch_events"), [(12, 12), (12, 100), (40, 1600), (12, 10**6)])
def test_every_batch_holds_about_as_many_events(longest: int, batch_events: int) -> None:
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.integers(2, longest + 2, 500)))
    windows = TrainingWindows(data, data.offsets[1:], 200)
    batches = windows.epoch(rng, batch_events)
    assert len(batches) == batches_an_epoch(windows.num_examples, batch_events)
    events = np.array([(last - first).sum() for _, first, last, *_ in batches])
    mean = windows.num_examples / len(batches)
    assert abs(events - mean).max() <= longest + mean / STEPS_A_BATCH
    assert events.min() > 0
    for size in (2, 3):  # so that each of several processes gets a window of every batch
        if batch_events >= size * longest:
            assert min(len(users) for users, *_ in batches) >= size


def test_a_row_of_more_events_than_a_batch_leaves_no_row_out() -> None:
    events = np.array([1, 1, 1, 100])
    parts = alike(events, events, 3, np.random.default_rng(0))
    assert len(parts) == 3
    assert sorted(np.concatenate(parts)) == [0, 1, 2, 3]


def test_the_batches_of_an_epoch_have_few_numbers_of_rows() -> None:
    """For each shape of a product in bfloat16 a kernel is compiled."""
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.geometric(0.1, 20_000) + 1))
    windows = TrainingWindows(data, data.offsets[1:], 50)
    sizes = [len(users) for epoch in range(3) for users, *_ in windows.epoch(rng, 1000)]
    assert len(sizes) > 500
    assert len(set(sizes)) < 50  # without the steps they are 164


def test_shards_part_the_users_by_events_and_a_long_history_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 10)
    lengths = [4, 4, 4, 35, 1, 9, 2, 2, 2]
    data = sequences(*([1] * length for length in lengths))
    assert data.shards.tolist() == [0, 3, 4, 6, 9]
    assert sequences(*([1] * length for length in lengths[:3])).shards.tolist() == [0, 3]


@pytest.mark.parametrize("event_dropout", [0.0, 0.3])
def test_of_many_shards_every_event_comes_once_and_those_of_a_group_come_together(
    monkeypatch: pytest.MonkeyPatch, event_dropout: float
) -> None:
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 1000)
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.integers(2, 100, 400)))
    windows = TrainingWindows(data, data.offsets[1:], 20)
    shard_of = np.searchsorted(data.shards, np.arange(400), side="right")
    orders = []
    for epoch in (windows.epoch(rng, 100, event_dropout) for _ in range(2)):
        assert len(epoch) == windows.num_batches(100) == batches_an_epoch(windows.num_examples, 100) - 5
        _, first, last, _ = together(epoch)
        inputs = np.sort(np.concatenate([np.arange(*pair) for pair in zip(first, last, strict=True)]))
        absent = np.setdiff1d(np.setdiff1d(np.arange(len(data.items)), data.offsets[1:] - 1), inputs)
        assert len(np.unique(inputs)) == len(inputs)
        assert len(absent) < (0.01 * len(inputs) if event_dropout else 1)  # windows with nothing left to predict
        groups = [epoch[start:stop] for start, stop in pairwise([0, *epoch.stops])]
        orders.append([{int(shard) for users, *_ in group for shard in shard_of[users]} for group in groups])
        assert [len(shards) for shards in orders[-1]] == [4, 4, 4, 4, 4, 1]
        assert set.union(*orders[-1]) == set(range(1, 22))
        for group in groups:
            events = np.array([int((windows.batch(*arguments).targets > 0).sum()) for arguments in group])
            assert abs(events - events.mean()).max() <= 20
            assert events.mean() >= (100 if not event_dropout else 65)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("batch_events", [29, 400, 3000, 10**6])
def test_an_epoch_of_many_shards_has_no_empty_batch(monkeypatch: pytest.MonkeyPatch, batch_events: int) -> None:
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 100)
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(2, 30, 150), *[1] * 900, *rng.integers(2, 30, 20)]  # shards in the middle predict nothing
    data = sequences(*([1] * length for length in lengths))
    windows = TrainingWindows(data, data.offsets[1:], 29)
    for _ in range(20):
        epoch = windows.epoch(rng, batch_events)
        assert len(epoch) == windows.num_batches(batch_events)
        events = [(last - first).sum() for _, first, last, *_ in epoch]
        assert min(events) > 0
        assert sum(events) == windows.num_examples


def test_a_batch_of_an_epoch_of_many_shards_is_the_same_in_whatever_order_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 100)
    data = sequences(*([1] * length for length in np.random.default_rng(0).integers(2, 30, 100)))
    windows = TrainingWindows(data, data.offsets[1:], 20)

    def drawn() -> Epoch:
        return windows.epoch(np.random.default_rng(3), 40, event_dropout=0.2)

    forwards, epoch = list(drawn()), drawn()
    for place in reversed(range(len(forwards))):
        for part, other in zip(forwards[place][:3], epoch[place][:3], strict=True):
            assert np.array_equal(part, other)
    with pytest.raises(IndexError):
        epoch[len(epoch)]


def test_no_batch_is_the_same_from_epoch_to_epoch() -> None:
    rng = np.random.default_rng(0)
    data = sequences(*([1] * length for length in rng.integers(2, 100, 336)))
    windows = TrainingWindows(data, data.offsets[1:], 200)
    drawn = [tuple(sorted(users)) for _ in range(20) for users, *_ in windows.epoch(rng, 1600)]
    assert len(set(drawn)) == len(drawn)


def test_events_that_are_left_out_are_stepped_over() -> None:
    rng = np.random.default_rng(0)
    histories = [list(range(start, start + length)) for start, length in ((1, 9), (20, 2), (30, 17), (60, 5))]
    data = sequences(*histories, context=[[place] for place in range(33)])
    windows = TrainingWindows(data, data.offsets[1:], max_length=6)
    seen: set[tuple[int, int]] = set()
    for _ in range(100):
        batches = windows.epoch(rng, 12, event_dropout=0.4)
        kept = batches[0].kept
        assert kept is not None
        alive = {item for item, is_kept in zip(data.items.tolist(), kept, strict=True) if is_kept}
        for arguments in batches:
            batch = windows.batch(*arguments)
            for row, slot in (batch.targets > 0).nonzero().tolist():
                item, target = int(batch.items[row, slot]), int(batch.targets[row, slot])
                history = next(history for history in histories if item in history)
                assert {item, target} <= alive <= set(data.items.tolist())
                assert not alive & set(history[history.index(item) + 1 : history.index(target)])
                assert batch.context[row, slot, 0] == data.items.tolist().index(target)
                seen.add((item, target))
    assert {(1, 2), (1, 3), (30, 33)} <= seen
    assert all(item < target for item, target in seen)


def test_the_context_of_an_event_is_the_one_its_target_took_place_in() -> None:
    data = sequences([5, 2, 9], [7, 8, 6], context=[[1], [2], [3], [4], [5], [6]])
    windows = TrainingWindows(data, data.offsets[1:], max_length=5)
    users, first, last, _ = together(windows.epoch(np.random.default_rng(0), 4))
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


def test_left_pad_takes_every_kind_of_history_and_changes_none() -> None:
    histories = [[5, 2, 9], (7,), np.array([1, 2, 3, 4, 5]), torch.tensor([6, 8]), []]
    padded = left_pad(histories, 4)
    assert padded.tolist() == [[0, 5, 2, 9], [0, 0, 0, 7], [2, 3, 4, 5], [0, 0, 6, 8], [0, 0, 0, 0]]
    assert padded.dtype == torch.int64
    assert histories[0] == [5, 2, 9]
    assert left_pad([[]], 3).tolist() == [[0]]


@pytest.mark.parametrize(
    ("histories", "length", "message"),
    [
        ([[1]], 0, "max_length=0"),
        ([[[1]]], 3, "history 0"),
        ([5], 3, "history 0 is 5"),
        ([[1], [2.5]], 3, r"history 1 is \[2\.5\]"),
        ([[1, -1]], 3, r"history 0 is \[1, -1\]"),
    ],
)
def test_left_pad_refuses_what_is_no_history(histories: object, length: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        left_pad(histories, length)  # type: ignore[arg-type]


def test_items_are_counted_where_they_are_trained_on() -> None:
    windows = TrainingWindows(SMALL, leave_one_out(SMALL).train_stops, 10)
    assert windows.item_counts(9).tolist() == [1, 1, 0, 2, 1, 0, 2, 0, 0]
