"""The sampled loss estimates the full one, and both count what they should."""

import numpy as np
import pytest
import torch

from bst import BST, BSTConfig, TrainConfig
from bst.training.loss import NegativeSampler, PrefixLoss, SharedSoftmax

NUM_ITEMS = 60
COUNTS = np.random.default_rng(0).zipf(1.5, NUM_ITEMS).clip(0, 1000).astype(np.int64)


@pytest.fixture(params=[False, True], ids=["own_output", "tied_output"])
def model(request: pytest.FixtureRequest) -> BST:
    torch.manual_seed(0)
    config = BSTConfig(num_items=NUM_ITEMS, dim=8, num_heads=2, ff_width=8, max_length=6, head_widths=(8,), dropout=0.0)
    return BST(config.model_copy(update={"tied_output": request.param}))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    items, targets = (torch.randint(1, NUM_ITEMS + 1, (4, 6)) for _ in range(2))
    items[0, :3] = targets[0, :3] = 0
    return items, torch.zeros(4, 6, 0, dtype=torch.int64), targets


def test_the_full_loss_is_the_cross_entropy_of_each_prefix_alone(model: BST) -> None:
    torch.nn.init.zeros_(model.positions)  # in one pass they count from the newest item of the whole row
    items, context, targets = batch()
    expected = sum(
        torch.nn.functional.cross_entropy(
            model(items[row : row + 1, : slot + 1], context[:1, 0]), targets[row, slot : slot + 1]
        ).item()
        for row in range(4)
        for slot in range(6)
        if targets[row, slot]
    )
    assert PrefixLoss(model)(items, context, targets).item() == pytest.approx(expected, rel=1e-5)


def test_with_many_draws_the_sampled_loss_and_its_gradient_are_those_of_the_full_one(model: BST) -> None:
    full = PrefixLoss(model)(*batch())
    expected = torch.autograd.grad(full, list(model.parameters()))
    sampled = PrefixLoss(model, NegativeSampler(COUNTS, 400_000))(*batch())
    found = torch.autograd.grad(sampled, list(model.parameters()))
    assert sampled.item() == pytest.approx(full.item(), rel=2e-3)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 0.05 * theirs.norm()


def test_without_the_correction_it_would_not_be(model: BST) -> None:
    """The test above can fail: popular items are drawn more often, and count as often if nothing is taken off."""
    sampler = NegativeSampler(COUNTS, 400_000)
    full = PrefixLoss(model)(*batch()).item()
    sampler.log_expected = torch.full_like(sampler.log_expected, sampler.log_expected.exp().mean().log().item())
    assert abs(PrefixLoss(model, sampler)(*batch()).item() / full - 1) > 4e-3


def test_a_draw_that_hits_the_target_is_left_out(model: BST) -> None:
    sampler = NegativeSampler(COUNTS, 1)
    items, context, targets = batch()
    targets = torch.where(targets > 0, 5, 0)
    sampler.draw = lambda: torch.tensor([5])  # type: ignore[method-assign]
    assert PrefixLoss(model, sampler)(items, context, targets).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("num_rows", [0, 1, 128, 300])
def test_the_shared_softmax_and_its_gradients_are_those_of_a_matrix_of_scores(num_rows: int) -> None:
    torch.manual_seed(0)
    own, vectors, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((num_rows,), (num_rows, 5), (70, 5), (70,))
    )
    places = torch.randint(0, 140, (num_rows,)).clamp(max=70)  # half of the targets are not among the candidates
    scores = (vectors @ weight.t() + bias).masked_fill(torch.arange(70) == places.unsqueeze(1), -torch.inf)
    expected = (torch.cat((own.unsqueeze(1), scores), dim=1).logsumexp(dim=1) - own).sum()
    found = SharedSoftmax.apply(own, vectors, weight, bias, places)
    torch.testing.assert_close(found, expected)
    parts = own, vectors, weight, bias
    torch.testing.assert_close(torch.autograd.grad(3 * found, parts), torch.autograd.grad(3 * expected, parts))


def test_a_score_that_no_float_can_take_the_exponential_of_has_a_finite_loss() -> None:
    own, vectors, places = torch.tensor([-400.0]), torch.ones(1, 1), torch.tensor([1])
    loss = SharedSoftmax.apply(own, vectors, torch.tensor([[500.0]]), torch.zeros(1), places)
    assert loss.item() == 900


def test_draws_follow_the_counts_to_the_power_of_three_quarters() -> None:
    torch.manual_seed(0)
    sampler = NegativeSampler(COUNTS, 500_000)
    drawn = sampler.draw()
    assert drawn.min() >= 1
    assert drawn.max() <= NUM_ITEMS
    share = np.bincount(drawn.numpy(), minlength=NUM_ITEMS + 1)[1:] / len(drawn)
    weights = np.maximum(COUNTS, 1) ** 0.75
    assert np.abs(share - weights / weights.sum()).max() < 0.005
    assert sampler.log_expected.exp().sum().item() == pytest.approx(500_000, rel=1e-5)


def test_the_last_of_a_million_rare_items_can_be_drawn() -> None:
    """In float32 the steps of the cumulative distribution would be lost."""
    sampler = NegativeSampler(np.ones(1_000_000, dtype=np.int64), 4)
    assert (sampler.cumulative.diff() > 0).all()


def test_a_share_without_rows_has_a_loss_of_zero_and_gradients(model: BST) -> None:
    """The last batch of an epoch may hold fewer windows than there are processes."""
    items, context, targets = (part[:0] for part in batch())
    for loss in (PrefixLoss(model), PrefixLoss(model, NegativeSampler(COUNTS, 5))):
        value = loss(items, context, targets)
        assert value.item() == 0
        assert all(not gradient.any() for gradient in torch.autograd.grad(value, list(model.parameters())))


@pytest.mark.parametrize(
    ("num_items", "num_events", "loss", "reason"),
    [
        (6_144, 9_000, "full_softmax", "6,144 items are no more than num_negatives=6,144"),
        (20_000, 600_000, "full_softmax", "30.0 training events an item are 30 or more"),
        (20_000, 599_999, "sampled_softmax", "30.0 training events an item are fewer than 30"),
        (50_001, 10_000_000, "sampled_softmax", "50,001 items are more than 50,000"),
    ],
)
def test_the_softmax_follows_the_shape_of_the_table(num_items: int, num_events: int, loss: str, reason: str) -> None:
    assert TrainConfig().loss_of(num_items, num_events) == (loss, reason)
    assert TrainConfig(loss="full_softmax").loss_of(num_items, num_events) == ("full_softmax", "as set")


def test_it_is_said_where_items_learn_at_a_rate_of_their_own() -> None:
    few = "(9.0 training events an item are fewer than"
    _, lines = TrainConfig().fitted(1000, 9_000)
    assert lines == (
        "full softmax: every target against all items (1,000 items are no more than num_negatives=6,144)",
        f"vectors of items learn at a rate of their own, 0.01 {few} 100)",
        f"an epoch leaves out 30 % of the events at random {few} 30)",
    )
    assert len(TrainConfig().fitted(1000, 30_000)[1]) == 2
    assert len(TrainConfig(overlap=0).fitted(1000, 100_000)[1]) == 1


def test_windows_have_a_common_part_where_items_have_many_events() -> None:
    line = "windows of a history have 50 % in common with the next one (100.0 training events an item are 100 or more)"
    many, lines = TrainConfig().fitted(1000, 100_000)
    assert (many.overlap, lines[1:]) == (0.5, (line,))
    few, lines = TrainConfig().fitted(1000, 99_999)
    assert few.overlap == 0
    assert not any("in common" in line for line in lines)
    chosen, lines = TrainConfig(overlap=0.2).fitted(1000, 9_000)
    assert (chosen.overlap, lines[-1]) == (0.2, "windows of a history have 20 % in common with the next one (as set)")
    assert [TrainConfig(overlap=share).fitted_to_clicks().overlap for share in (None, 0.2)] == [0, 0.2]


@pytest.mark.parametrize(
    ("chosen", "num_events", "event_dropout", "line"),
    [
        (None, 233_000, 0.3, "30 % of the events at random (4.7 training events an item are fewer than 30)"),
        (None, 5_000_000, 0.0, None),
        (0.1, 5_000_000, 0.1, "10 % of the events at random (as set)"),
        (0.0, 233_000, 0.0, None),
    ],
)
def test_events_are_left_out_where_items_have_few(
    chosen: float | None, num_events: int, event_dropout: float, line: str | None
) -> None:
    fitted, lines = TrainConfig(event_dropout=chosen, overlap=0).fitted(50_000, num_events)
    assert fitted.event_dropout == event_dropout
    assert fitted.loss == ("sampled_softmax" if num_events == 233_000 else "full_softmax")
    assert lines[-1] == f"an epoch leaves out {line}" if line else len(lines) == 1
    assert fitted.fitted(50_000, 1)[0] == fitted  # what a run keeps is not chosen anew
