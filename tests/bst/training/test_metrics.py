import math

import numpy as np
import pytest
import torch

from bst import BST, BSTConfig, RankingMetrics, evaluate, leave_one_out
from bst.training.metrics import filter_by, places_of, rank
from tests.bst.data.test_sequences import sequences


def test_metrics_are_those_counted_by_hand() -> None:
    metrics = RankingMetrics.from_places(np.array([1, 2, 10, 11]))
    assert metrics.hr[10] == 0.75
    assert metrics.hr[1] == 0.25
    assert metrics.ndcg[10] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4)
    assert metrics.mrr == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 4)
    assert metrics.num_users == 4


def test_a_target_is_placed_behind_those_that_score_the_same() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [1.0, 1.0, 1.0], [0.2, -torch.inf, 0.1]])
    assert places_of(scores, torch.tensor([3, 1, 1])).tolist() == [2, 3, 1]


def test_a_target_that_the_model_does_not_know_is_no_hit_at_any_k() -> None:
    places = places_of(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([0]))
    metrics = RankingMetrics.from_places(places.numpy(), (1, 10**9))
    assert metrics.hr[10**9] == metrics.ndcg[10**9] == 0
    assert metrics.mrr == pytest.approx(0)


def test_nan_never_looks_like_a_good_place() -> None:
    assert places_of(torch.full((1, 4), torch.nan), torch.tensor([2])).tolist() == [4]


class Fixed(BST):
    """Scores every item by its index, whatever the history."""

    def item_scores(self, user_vectors: torch.Tensor) -> torch.Tensor:
        return torch.arange(1.0, 11.0).expand(len(user_vectors), -1).clone()


def test_items_of_the_history_are_left_out_but_never_the_target() -> None:
    model = Fixed(BSTConfig(num_items=10, dim=4, num_heads=1, max_length=2, head_widths=(4,)))
    examples = leave_one_out(sequences([9, 10, 1, 8], [3, 4, 10, 10])).test
    kept = evaluate(model, examples, 2, filter_seen=False)
    filtered = evaluate(model, examples, 2, filter_seen=True)
    assert kept.mrr == pytest.approx((1 / 3 + 1) / 2)
    assert filtered.mrr == pytest.approx((1 + 1) / 2)  # 9 and 10 were seen, also beyond the two that the model reads
    assert model.training


def test_a_target_of_the_own_history_is_ranked_among_all_items() -> None:
    model = Fixed(BSTConfig(num_items=10, dim=4, num_heads=1, max_length=2, head_widths=(4,)))
    returning = leave_one_out(sequences([9, 10, 1, 9], [9, 10, 8, 8])).test
    assert evaluate(model, returning, 2, filter_seen=True) == evaluate(model, returning, 2, filter_seen=False)


def test_metrics_are_the_same_however_few_scores_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = BST(BSTConfig(num_items=5000, dim=16, num_heads=2, max_length=5, head_widths=(4,)))
    examples = leave_one_out(sequences(*_histories(601))).test
    whole = rank(model, examples, 5, filter_seen=True)
    monkeypatch.setattr("bst.training.metrics.SCORES", 5000 * 40)
    assert rank(model, examples, 5, filter_seen=True).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 300


@pytest.mark.parametrize("padding", ["ignored", "counted"])
def test_the_place_of_a_target_does_not_depend_on_who_else_is_ranked(padding: str) -> None:
    torch.manual_seed(0)
    sizes = {"num_items": 5000, "dim": 16, "num_heads": 2, "max_length": 9, "head_widths": (4,)}
    model = BST(BSTConfig.model_validate({**sizes, "padding": padding, "pooling": "mean"}))
    examples = leave_one_out(sequences(*_histories(201))).test
    together = rank(model, examples, 9, filter_seen=True)
    rows = range(0, len(examples), 7)
    alone = [rank(model, examples.at(np.array([row])), 9, filter_seen=True).item() for row in rows]
    assert together[::7].tolist() == alone
    assert len(set(alone)) > 20


def _histories(count: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [(rng.permutation(5000)[: 3 + user % 11] + 1).tolist() for user in range(count)]


def test_metrics_survive_being_written() -> None:
    metrics = RankingMetrics.from_places(np.array([1, 3, 200]), ks=(3, 100))
    assert metrics.to_dict() == {
        "hr_3": 2 / 3,
        "hr_100": 2 / 3,
        "ndcg_3": 0.5,
        "ndcg_100": 0.5,
        "mrr": pytest.approx((1 + 1 / 3 + 1 / 200) / 3),
        "num_users": 3,
    }
    assert RankingMetrics.from_dict(metrics.to_dict()) == metrics
    with pytest.raises(ValueError, match="not hr and ndcg of the same k"):
        RankingMetrics.from_dict({"hr_3": 1.0, "mrr": 1.0, "num_users": 1})


@pytest.mark.parametrize(
    ("chosen", "rows", "expected"),
    [
        (
            None,
            [[1, 2, 3, 4], [4, 5, 6, 1]],
            (True, "left out of each ranking, unless the target is one of them; 0.0 %"),
        ),
        (None, [[1, 2, 1, 4], [4, 5, 6, 1]], (False, "nothing is left out of the rankings; 50.0 %")),
        (True, [[1, 2, 1, 4], [4, 5, 6, 1]], (True, "left out of each ranking")),
        (False, [[1, 2, 3, 4], [4, 5, 6, 1]], (False, "nothing is left out")),
        (None, [[1, 2]], (True, "there is no validation target to tell whether users return")),
    ],
)
def test_the_data_decide_whether_seen_items_are_left_out(
    chosen: bool | None, rows: list[list[int]], expected: tuple[bool, str]
) -> None:
    decided, line = filter_by(chosen, leave_one_out(sequences(*rows)).validation)
    assert decided is expected[0]
    assert expected[1] in line
