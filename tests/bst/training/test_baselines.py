import numpy as np
import pytest
import torch

from bst import Sequences, leave_one_out
from bst.data.batches import Examples
from bst.training.baselines import Counts, markov, markov_places, newest_items, popularity
from bst.training.metrics import NOWHERE, places_of

NUM_ITEMS = 12


def histories(returning: bool) -> Sequences:
    rng = np.random.default_rng(4)
    rows = [rng.permutation(NUM_ITEMS)[:length] + 1 for length in rng.integers(3, 9, 40)]
    if returning:
        rows = [np.append(row, row[0]) for row in rows]
    return Sequences.from_histories([row.tolist() for row in rows])


def counted(
    sequences: Sequences, examples: Examples, stops: np.ndarray, *, pairs: bool, filter_seen: bool
) -> list[int]:
    """The same ranking as a dense table of scores."""
    scores = np.zeros((len(examples), NUM_ITEMS))
    bought = np.zeros(NUM_ITEMS + 1)
    follows = np.zeros((NUM_ITEMS + 1, NUM_ITEMS + 1))
    for start, stop in zip(sequences.offsets, stops, strict=False):
        items = sequences.items[start:stop]
        np.add.at(bought, items, 1)
        np.add.at(follows, (items[:-1], items[1:]), 1)
    for row, (user, target) in enumerate(zip(examples.users, examples.targets, strict=True)):
        history = sequences.items[sequences.offsets[user] : target]
        scores[row] = bought[1:] + (1000 * follows[history[-1], 1:] if pairs else 0)
        if filter_seen and sequences.items[target] not in history:
            scores[row, history - 1] = -np.inf
    return places_of(torch.from_numpy(scores), torch.from_numpy(sequences.items[examples.targets].astype(int))).tolist()


@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("returning", [False, True])
def test_places_are_those_of_a_dense_table_of_counts(returning: bool, filter_seen: bool) -> None:
    sequences = histories(returning)
    split = leave_one_out(sequences)
    popular = popularity(sequences, split.train_stops, NUM_ITEMS)
    chain = markov(sequences, split.train_stops, NUM_ITEMS)
    for examples in (split.validation, split.test):
        found = popular.places(examples, filter_seen=filter_seen)
        assert found.tolist() == counted(sequences, examples, split.train_stops, pairs=False, filter_seen=filter_seen)
        found = chain.places(examples, filter_seen=filter_seen, groups=newest_items(examples))
        assert found.tolist() == counted(sequences, examples, split.train_stops, pairs=True, filter_seen=filter_seen)


def test_a_markov_chain_counted_in_parts_ranks_as_one_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = histories(returning=True)
    split = leave_one_out(sequences)
    popular = popularity(sequences, split.train_stops, NUM_ITEMS)
    chain = markov(sequences, split.train_stops, NUM_ITEMS)
    wanted = chain.places(split.test, filter_seen=True, groups=newest_items(split.test))
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 30)
    monkeypatch.setattr("bst.training.baselines.PAIRS", 40)
    assert np.array_equal(popularity(sequences, split.train_stops, NUM_ITEMS).popularity, popular.popularity)
    assert np.array_equal(markov(sequences, split.train_stops, NUM_ITEMS).strengths, chain.strengths)
    split.test.sequences.items[split.test.targets[3] - 1] = 0  # an unknown item before the target
    places = markov_places(popular, sequences, split.train_stops, split.test, filter_seen=True)
    wanted[3] = popular.places(split.test, filter_seen=True)[3]
    assert np.array_equal(places, wanted)


def test_unknown_targets_come_last_and_unknown_groups_leave_popularity() -> None:
    counts = Counts.fit([(np.array([1, 1, 2], np.int32), np.array([1, 1, 0], np.int32))], 3)
    examples = Examples(
        Sequences(np.array([3, 0, 2], np.int32), np.array([0, 3]), np.zeros((1, 0), np.int32)),
        np.array([0, 0]),
        np.array([1, 2]),
    )
    assert counts.places(examples, filter_seen=False).tolist() == [NOWHERE, 2]


def test_only_what_stands_before_the_stops_is_trained_on() -> None:
    sequences = Sequences.from_histories([[1, 2, 3, 4], [5, 6], [7, 8, 9]])
    assert [events.tolist() for events in sequences.before(np.array([2, 6, 7]))] == [[0, 1, 4, 5, 6]]
