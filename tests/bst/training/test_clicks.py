"""Claims about the training of click models: negatives, loss, metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bst import BSTConfig, Sequences, TrainConfig, Trainer, leave_one_out
from bst.data.impressions import Impressions
from bst.data.windows import TrainingWindows
from bst.errors import InputError
from bst.model import ClickBST, make_model
from bst.training.baselines import Rates
from bst.training.click_metrics import ClickMetrics, grouped_auc
from bst.training.loss import ClickLoss, ImpressionLoss
from bst.training.negatives import Negatives

COUNTS = np.array([5, 0, 1, 4, 0])
SIZES = {"task": "click", "dim": 8, "num_heads": 2, "num_blocks": 1, "ff_width": 8, "max_length": 4}


def slow_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
    return float(np.mean(pairs))


def test_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.3
    groups = rng.integers(0, 8, 60)
    assert grouped_auc(scores, labels, np.zeros(60, np.int64)) == pytest.approx(slow_auc(scores, labels))
    both = [group for group in range(8) if 0 < labels[groups == group].sum() < (groups == group).sum()]
    areas = [slow_auc(scores[groups == group], labels[groups == group]) for group in both]
    sizes = [(groups == group).sum() for group in both]
    assert grouped_auc(scores, labels, groups) == pytest.approx(np.average(areas, weights=sizes))


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(grouped_auc(np.array([1.0, 2.0]), np.array([True, True]), np.array([0, 0])))


def test_log_loss_and_calibration_are_those_of_the_sigmoid() -> None:
    logits, labels = np.repeat([-2.0, 1.0], 50), np.arange(100) % 4 == 0
    metrics = ClickMetrics.measure(logits, labels, np.arange(100), logits=True)
    chances = 1 / (1 + np.exp(-logits))
    assert metrics.log_loss == pytest.approx(-np.where(labels, np.log(chances), np.log(1 - chances)).mean())
    assert [count for _, _, count in metrics.calibration] == [10] * 10
    assert metrics.calibration[0][0] == pytest.approx(chances[0])
    assert ClickMetrics.from_dict(metrics.to_dict()) == metrics


@pytest.mark.parametrize("rule", ["uniform", "popularity"])
def test_negatives_are_items_of_the_training_events_in_their_shares(rule: str) -> None:
    torch.manual_seed(0)
    drawn = np.bincount(Negatives(COUNTS, rule).draw(20_000).numpy(), minlength=6)[1:] / 20_000
    shares = COUNTS / COUNTS.sum() if rule == "popularity" else (COUNTS > 0) / 3
    assert np.abs(drawn - shares).max() < 0.02
    assert (drawn[COUNTS == 0] == 0).all()


def test_no_target_is_its_own_negative_and_the_seed_decides() -> None:
    sequences = Sequences.from_histories([[1, 3, 4, 1]] * 40)
    examples = leave_one_out(sequences).test
    negatives = Negatives(COUNTS, "popularity")
    drawn = negatives.beside(examples, 3, seed=1)
    assert (drawn[:, 0] == 1).all()
    assert set(np.unique(drawn[:, 1:])) == {3, 4}
    assert (drawn == negatives.beside(examples, 3, seed=1)).all()
    assert (drawn != negatives.beside(examples, 3, seed=2)).any()


def test_negatives_of_validation_and_test_are_not_the_same_items() -> None:
    split = leave_one_out(Sequences.from_histories([[1, 3, 4, 1, 3]] * 40))
    negatives = Negatives(np.ones(10_000, np.int64), "uniform")
    of_validation, of_test = (negatives.beside(part, 3, seed=1)[:, 1:] for part in (split.validation, split.test))
    assert (of_validation != of_test).mean() > 0.99


def test_a_step_of_a_click_model_moves_the_item_vectors_that_it_reads_and_no_others() -> None:
    torch.manual_seed(0)
    sequences = Sequences.from_histories([[1, 3, 4, 1, 3]] * 4)
    split = leave_one_out(sequences)
    config = BSTConfig.model_validate({**SIZES, "num_items": 9, "dropout": 0.0})
    windows = TrainingWindows(sequences, split.train_stops, config.max_length)
    trainer = Trainer(ClickBST(config), windows, split.validation, TrainConfig(epochs=1, warmup_steps=0))
    before = trainer.model.item_embedding.weight.detach().clone()
    trainer.fit()
    moved = (trainer.model.item_embedding.weight != before).any(dim=1).nonzero().flatten().tolist()
    assert moved == [1, 3, 4]


def shown(requests: list[list[int]], clicked: list[list[int]], histories: list[list[int]]) -> Impressions:
    """Requests of a user each, with a history and what was shown."""
    sequences = Sequences.from_histories(histories)
    counts = [len(request) for request in requests]
    users = np.repeat(np.arange(len(requests)), counts)
    return Impressions.gather(
        *(sequences, users, sequences.offsets[1:][users], np.zeros((len(users), 0), np.int32), {}),
        *(np.concatenate(requests).astype(np.int32), np.concatenate(clicked).astype(np.bool_)),
    )


def test_the_loss_of_a_log_is_the_cross_entropy_of_each_impression() -> None:
    torch.manual_seed(0)
    values = {"task": "click", "num_items": 5, "dim": 8, "num_heads": 2, "max_length": 4, "head_widths": (6,)}
    model = make_model(BSTConfig.model_validate({**values, "dropout": 0.0}))
    assert isinstance(model, ClickBST)
    impressions = shown([[2, 4, 5], [1]], [[0, 1, 0], [1]], [[1, 3, 4], [5]])
    total = ImpressionLoss(model)(**impressions.batch(slice(None), 4).examples)
    expected = torch.zeros(())
    for history, items, labels in (([1, 3, 4], [2, 4, 5], [0.0, 1.0, 0.0]), ([5], [1], [1.0])):
        logits = model(torch.tensor([history]), torch.zeros(1, 0, dtype=torch.int64), torch.tensor([items]))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits[0], torch.tensor(labels), reduction="sum")
        expected = expected + losses
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_click_rates_are_drawn_towards_those_of_the_item_and_of_all() -> None:
    impressions = shown([[1] * 30 + [2] * 10, [1] * 10], [[1] * 15 + [0] * 25, [1] * 10], [[4], [3]])
    overall, known = 25 / 50, np.array([0, 1, 2, 3])
    expected = [overall, (25 + 10 * overall) / (40 + 10), (10 * overall) / (10 + 10), overall]
    rates = Rates.fit(impressions, 5)
    assert rates.scores(known, np.zeros(4, np.int32)) == pytest.approx(np.log(expected) - np.log1p(-np.array(expected)))
    after = Rates.fit(impressions, 5, np.array([4, 3], np.int32))
    chances = 1 / (1 + np.exp(-after.scores(np.array([1, 1, 2]), np.array([4, 3, 3], np.int32))))
    assert chances == pytest.approx([(15 + 10 * expected[1]) / 40, (10 + 10 * expected[1]) / 20, expected[2]])


def test_negatives_of_a_single_item_are_refused() -> None:
    with pytest.raises(InputError, match="1 items are trained on"):
        Negatives(np.array([0, 7]), "uniform")


@pytest.mark.parametrize("places", ["oldest", "newest"])
def test_the_loss_is_the_cross_entropy_of_each_prefix_with_its_candidates(places: str) -> None:
    torch.manual_seed(0)
    config = BSTConfig.model_validate(
        {
            **{"task": "click", "num_items": 5, "dim": 8, "num_heads": 2, "max_length": 4, "head_widths": (6,)},
            **{"dropout": 0.0, "places": places},
        }
    )
    model = make_model(config)
    assert isinstance(model, ClickBST)
    windows = TrainingWindows(Sequences.from_histories([[1, 3, 4], [3, 1]]), np.array([3, 5]), 4)
    batch = windows.batch(*windows.epoch(np.random.default_rng(0), 10**6)[0])
    loss = ClickLoss(model, Negatives(COUNTS, "uniform"), 2)
    torch.manual_seed(7)
    total = loss(batch.items, batch.context, batch.targets)
    torch.manual_seed(7)
    drawn = loss.negatives.draw(*batch.targets.shape, 2)
    expected = torch.zeros(())
    for row, slot in (batch.targets > 0).nonzero().tolist():
        target, others = batch.targets[row, slot], drawn[row, slot]
        others = others[others != target]
        logits = model(
            batch.items[row : row + 1, : slot + 1], batch.context[:1, 0], torch.cat((target[None], others))[None]
        )
        labels = torch.tensor([[1.0] + [0.0] * len(others)])
        expected = expected + torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    total.backward()
    assert all(torch.isfinite(weights.grad).all() for weights in model.parameters() if weights.grad is not None)
