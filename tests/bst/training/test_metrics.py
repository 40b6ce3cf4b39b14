import math

import numpy as np
import pytest
import torch

from bst import BST, BSTConfig, RankingMetrics, evaluate, leave_one_out
from bst.training.metrics import places_of
from tests.bst.data.test_sequences import sequences


def test_metrics_are_those_counted_by_hand() -> None:
    metrics = RankingMetrics.from_places(np.array([1, 2, 10, 11]))
    assert metrics.hr_10 == 0.75
    assert metrics.hr_1 == 0.25
    assert metrics.ndcg_10 == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4)
    assert metrics.mrr == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 4)
    assert metrics.num_users == 4


def test_a_target_is_placed_behind_those_that_score_the_same() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [1.0, 1.0, 1.0], [0.2, -torch.inf, 0.1]])
    assert places_of(scores, torch.tensor([3, 1, 1])).tolist() == [2, 3, 1]


def test_a_target_that_the_model_does_not_know_comes_after_all_that_it_knows() -> None:
    assert places_of(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([0])).tolist() == [4]


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
