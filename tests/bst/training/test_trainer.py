"""Claims about training: that is learnt which is there to be learnt, no more, and the books are kept right."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from bst import BST, BSTConfig, CheckError, InputError, Sequences, TrainConfig, Trainer, leave_one_out
from bst.data.batches import Batch
from bst.data.vocabulary import Index
from bst.data.windows import TrainingWindows
from bst.training.loss import PrefixLoss
from bst.training.trainer import EpochReport
from bst.training.world import World
from tests.bst.data.test_sequences import sequences

NUM_ITEMS = 12
SMALL = BSTConfig(
    num_items=NUM_ITEMS, dim=8, num_heads=1, max_length=30, head_widths=(8,), tied_output=False, dropout=0.1
)
FOLLOWS = 0.8  # of the chain: this often comes the one successor, otherwise any item


def markov_chain(follows: float, users: int = 400, length: int = 26, seed: int = 0) -> Sequences:
    """Items in which each is followed by one other with probability `follows`, and by any item otherwise."""
    rng = np.random.default_rng(seed)
    successor = np.roll(np.arange(NUM_ITEMS), 5)
    steps = np.zeros((users, length), dtype=np.int64)
    steps[:, 0] = rng.integers(0, NUM_ITEMS, users)
    for t in range(1, length):
        random = rng.integers(0, NUM_ITEMS, users)
        steps[:, t] = np.where(rng.random(users) < follows, successor[steps[:, t - 1]], random)
    return sequences(*(steps + 1).tolist())


def entropy(follows: float) -> float:
    """Entropy in nats of the next item given the one before: no model's true loss is below it."""
    other = (1 - follows) / NUM_ITEMS
    first = follows + other
    return -first * math.log(first) - (NUM_ITEMS - 1) * other * math.log(other) if other else 0.0


def trained(data: Sequences, epochs: int, **sizes: object) -> tuple[Trainer, float, float]:
    """Train on `data`; give the trainer, the loss on the test targets in nats, and their HR@1."""
    torch.manual_seed(0)
    chosen = {"dim": 16, "num_heads": 2, "ff_width": 32, "max_length": 16, "head_widths": (32,), "dropout": 0.0}
    model = BST(BSTConfig.model_validate({**chosen, **sizes, "num_items": NUM_ITEMS}))
    split = leave_one_out(data)
    config = TrainConfig(epochs=epochs, batch_events=500, learning_rate=5e-3, warmup_steps=10, filter_seen=False)
    windows = TrainingWindows(data, split.train_stops, 16)
    trainer = Trainer(model, windows, split.validation, config)
    trainer.fit()
    batch = split.test.batch(slice(None), 16)
    with torch.inference_mode():
        scores = model(batch.items, batch.context)
    loss = torch.nn.functional.cross_entropy(scores, batch.targets).item()
    return trainer, loss, (scores.argmax(dim=1) == batch.targets).float().mean().item()


@pytest.mark.parametrize(
    ("output", "margin"),
    [
        ({"tied_output": False}, 0.15),
        ({"tied_output": True}, 0.15),
        # Its ranking is at its best some epochs before its loss is, and the weights are those of the best ranking.
        ({"tied_output": True, "head_widths": ()}, 0.25),
    ],
)
def test_a_markov_chain_is_learnt_close_to_its_entropy(output: dict[str, Any], margin: float) -> None:
    _, loss, accuracy = trained(markov_chain(FOLLOWS), 8, **output)
    best = entropy(FOLLOWS)
    assert accuracy > 0.9 * (FOLLOWS + (1 - FOLLOWS) / NUM_ITEMS)
    # Beyond the noise of 400 targets, a loss below the entropy would be a leak.
    assert best - 0.2 < loss < best + margin


def test_mean_pooling_learns_what_a_user_is_fond_of() -> None:
    rng = np.random.default_rng(0)
    fond = rng.integers(0, NUM_ITEMS // 3, 400)  # each user takes at random from one of four triples
    data = sequences(*(fond[:, None] * 3 + rng.integers(1, 4, (400, 20))).tolist())
    _, loss, _ = trained(data, 6, pooling="mean")
    assert loss == pytest.approx(math.log(3), abs=0.05)


def test_random_items_are_not_learnt() -> None:
    _, loss, accuracy = trained(markov_chain(0.0), 4)
    chance, users = 1 / NUM_ITEMS, 400
    assert abs(accuracy - chance) < 4 * math.sqrt(chance * (1 - chance) / users)
    assert loss > math.log(NUM_ITEMS) - 0.05


def test_the_reported_loss_is_the_mean_over_all_examples() -> None:
    data = markov_chain(FOLLOWS, users=30)
    split = leave_one_out(data)
    torch.manual_seed(0)
    model = BST(SMALL.model_copy(update={"dropout": 0.0}))
    windows = TrainingWindows(data, split.train_stops, 30)
    still = {"learning_rate": 1e-12, "item_learning_rate": 1e-12, "weight_decay": 0.0}
    config = TrainConfig(epochs=1, batch_events=161, warmup_steps=0, **still)
    trainer = Trainer(model, windows, split.validation, config)
    batch = windows.batch(*windows.epoch(np.random.default_rng(0), windows.num_examples)[0])
    count = int((batch.targets > 0).sum())
    expected = PrefixLoss(model)(batch.items, batch.context, batch.targets) / count
    report = trainer.epoch()
    assert count == windows.num_examples
    assert report.loss == pytest.approx(expected.item(), rel=1e-5)
    assert trainer.epoch().loss == pytest.approx(expected.item(), rel=1e-5)  # nothing is carried over


def test_the_model_ends_with_the_weights_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = markov_chain(FOLLOWS, users=30)
    split = leave_one_out(data)
    model = BST(SMALL)
    trainer = Trainer(
        model, TrainingWindows(data, split.train_stops, 30), split.validation, TrainConfig(epochs=3, batch_events=184)
    )
    kept = [
        (moment, model.output.weight.detach().clone())
        for moment in trainer.moments()
        if isinstance(moment, EpochReport)
    ]
    best = max(range(3), key=lambda epoch: kept[epoch][0].validation.ndcg[10])
    assert kept[best][0].best
    assert torch.equal(model.output.weight, kept[best][1])
    assert not model.training


def test_the_same_seed_gives_the_same_weights_to_the_bit() -> None:
    data = markov_chain(FOLLOWS, users=40)
    first, second = (trained(data, 1)[0].model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_seed_fixes_dropout_and_draws_whatever_came_before() -> None:
    reports = []
    for noise in (0, 5):
        trainer = small_trainer(epochs=1, loss="sampled_softmax", num_negatives=7)
        torch.rand(noise)
        again = Trainer(trainer.model, trainer.windows, trainer.validation, trainer.config)
        reports.append(again.epoch().loss)
    assert reports[0] == reports[1]


def test_an_epoch_that_was_broken_off_goes_on_with_the_examples_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(users=60)
    cut: list[int] = []
    batch = TrainingWindows.batch

    def counted(self: TrainingWindows, users: Index, *others: Any) -> Batch:
        if len(cut) >= 24 and -1 not in cut:
            cut.append(-1)
            raise KeyboardInterrupt
        cut.extend(users.tolist())
        return batch(self, users, *others)

    monkeypatch.setattr(TrainingWindows, "batch", counted)
    with pytest.raises(KeyboardInterrupt):
        trainer.epoch()
    assert trainer.epoch().epoch == 1
    cut.remove(-1)
    assert sorted(cut) == list(range(60))


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    trainer = small_trainer(epochs=1)
    config = trainer.config.model_copy(update={"batch_events": 33})
    refusal = (
        "batch_events=33 is less than a step needs: the longest row has 23 events to predict, one for each of 2 "
        "processes; give 46 or more"
    )
    with pytest.raises(InputError, match=refusal):
        Trainer(trainer.model, trainer.windows, trainer.validation, config, world=World(size=2))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_best_weights() -> None:
    data = markov_chain(FOLLOWS, users=30)
    split = leave_one_out(data)
    model = BST(SMALL)
    config = TrainConfig(epochs=3, batch_events=184)
    trainer = Trainer(model, TrainingWindows(data, split.train_stops, 30), split.validation, config)
    good = []

    def fit_and_spoil() -> None:
        for moment in trainer.moments():
            if isinstance(moment, EpochReport):
                good.append(model.output.weight.detach().clone())
                model.output.weight.data.fill_(torch.nan)

    with pytest.raises(
        CheckError, match=r"the loss is nan and the gradient norm nan in step 1 of epoch 2.*lower learning_rate=0.001"
    ):
        fit_and_spoil()
    assert torch.equal(model.output.weight, good[0])


def small_trainer(users: int = 30, **training: object) -> Trainer:
    data = markov_chain(FOLLOWS, users=users)
    split = leave_one_out(data)
    torch.manual_seed(0)
    model = BST(SMALL)
    config = TrainConfig(**{"epochs": 4, "batch_events": 184, "warmup_steps": 2, "filter_seen": False, **training})
    return Trainer(model, TrainingWindows(data, split.train_stops, 30), split.validation, config)


def test_a_trainer_alone_chooses_what_is_left_open_as_bst_train_does() -> None:
    trainer = small_trainer()
    wanted, _ = TrainConfig().fitted(SMALL.num_items, trainer.windows.num_examples)
    assert (trainer.config.loss, trainer.config.event_dropout) == (wanted.loss, wanted.event_dropout)
    assert trainer.config.event_dropout is not None
    assert trainer.config.overlap == wanted.overlap is not None


def test_the_reported_learning_rate_is_the_one_of_the_last_step() -> None:
    trainer = small_trainer(schedule="multistep", milestones=(2,), learning_rate=1e-3)
    used = [
        {group["lr"] for group in trainer.optimizers["optimizer"].param_groups}
        for moment in trainer.moments()
        if isinstance(moment, EpochReport)
    ]
    assert [report.learning_rate for report in trainer.reports] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert used == [{report.learning_rate} for report in trainer.reports]


def test_adaptive_clipping_starts_at_the_given_value_and_then_follows_the_epoch_before() -> None:
    trainer = small_trainer(clipping="adaptive_epoch", clip_norm=0.5)
    trainer.fit()
    first, second, *_ = trainer.reports
    assert first.clip_norm == 0.5
    assert second.clip_norm == pytest.approx(first.gradient_norm + first.gradient_norm_std)


def test_patience_ends_a_training_that_no_longer_gets_better() -> None:
    still = {"learning_rate": 1e-9, "item_learning_rate": 1e-9}  # learns nothing, so no epoch beats the first
    trainer = small_trainer(epochs=50, patience=3, **still)
    trainer.fit()
    assert len(trainer.reports) == 4
    assert [report.best for report in trainer.reports] == [True, False, False, False]


def test_without_patience_every_epoch_is_trained() -> None:
    trainer = small_trainer(epochs=6, learning_rate=1e-9)
    trainer.fit()
    assert len(trainer.reports) == 6


@pytest.mark.parametrize("changed", [{"precision": "bfloat16"}, {"loss": "sampled_softmax", "num_negatives": 200}])
def test_quicker_ways_to_train_learn_the_same(changed: dict[str, object]) -> None:
    """Within what bfloat16 and a sample cost: the weights stay float32 and the loss comes down as far."""
    rates = {"learning_rate": 5e-3, "item_learning_rate": 5e-3}
    plain, quick = (small_trainer(users=200, **rates, **options) for options in ({}, changed))
    for trainer in (plain, quick):
        trainer.fit()
    assert quick.model.output.weight.dtype == torch.float32
    assert plain.reports[-1].loss < 0.8 * plain.reports[0].loss
    assert quick.reports[-1].loss == pytest.approx(plain.reports[-1].loss, rel=0.1)
    assert not torch.equal(quick.model.output.weight, plain.model.output.weight)


def test_means_over_long_prefixes_survive_bfloat16() -> None:
    """A running sum in bfloat16 would stand still after some hundred items."""
    torch.manual_seed(0)
    model = BST(SMALL.model_copy(update={"max_length": 600, "pooling": "mean", "dropout": 0.0}))
    items = torch.randint(1, NUM_ITEMS + 1, (1, 600))
    context = torch.zeros(1, 600, 0, dtype=torch.int64)
    with torch.no_grad():
        expected = model.prefix_vectors({"items": items, "context": context})
        with torch.autocast("cpu", torch.bfloat16):
            found = model.prefix_vectors({"items": items, "context": context})
    assert (found - expected).abs().max() < 0.03 * expected.abs().max()


def test_data_without_anything_to_predict_is_refused() -> None:
    data = sequences([1, 2], [3, 4])
    split = leave_one_out(data)
    with pytest.raises(InputError, match="2 training examples and 0 users to validate on"):
        Trainer(
            BST(BSTConfig(num_items=4, dim=4, num_heads=1, head_widths=(4,))),
            TrainingWindows(data, split.train_stops, 5),
            split.validation,
            TrainConfig(),
        )


@pytest.mark.parametrize("tied", [False, True])
def test_a_step_of_the_sampled_softmax_moves_only_the_rows_that_it_read(tied: bool) -> None:
    torch.manual_seed(0)
    sizes = {"num_items": 500, "dim": 8, "num_heads": 1, "max_length": 30, "head_widths": (8,), "tied_output": tied}
    model = BST(BSTConfig.model_validate(sizes))
    data = markov_chain(FOLLOWS, users=30)
    split = leave_one_out(data)
    config = TrainConfig(epochs=1, batch_events=10**6, loss="sampled_softmax", num_negatives=20, warmup_steps=0)
    trainer = Trainer(model, TrainingWindows(data, split.train_stops, 30), split.validation, config)
    drawn: list[torch.Tensor] = []
    draw = trainer.loss.sampler.draw
    trainer.loss.sampler.draw = lambda: drawn.append(draw()) or drawn[-1]
    before = [table.detach().clone() for table in trainer.by_row]
    trainer.epoch()
    read = set(range(1, NUM_ITEMS + 1)) | set(drawn[0].tolist())
    assert len(drawn) == 1
    assert len(read) < 60
    in_history = (1, read if tied else set(range(1, NUM_ITEMS + 1)))  # the last item of a user is only a target
    for (first, rows), table, was in zip((in_history, (0, read)), trainer.by_row, before, strict=not tied):
        moved = (table != was).any(dim=1).nonzero().squeeze(1).tolist()
        assert set(moved) <= {row - 1 + first for row in rows}
        assert len(moved) > NUM_ITEMS - 3


@pytest.mark.parametrize(("users", "apart"), [(5, True), (800, False)])
def test_vectors_of_items_with_few_events_have_a_rate_of_their_own_under_a_full_softmax(
    users: int, apart: bool
) -> None:
    trainer = small_trainer(users=users, loss="full_softmax", item_learning_rate=0.02, epochs=1)
    assert (trainer.windows.num_examples < 100 * SMALL.num_items) == apart
    assert len(trainer.by_row) == 2 * apart  # the vectors in histories, and the rows of the output layer
    rates = [group["initial_lr"] for group in trainer.optimizers["rows"].param_groups] if apart else []
    assert rates == [0.02] * apart
    before = trainer.model.output.weight.detach().clone()
    trainer.epoch()
    assert not trainer.model.item_embedding.sparse
    assert bool((trainer.model.output.weight != before).any(dim=1).all())  # a full softmax reads every row


def test_rows_of_a_dense_gradient_move_as_those_of_a_sparse_one() -> None:
    sparse = small_trainer(loss="sampled_softmax", num_negatives=7)
    sparse.fit()
    dense = small_trainer(loss="sampled_softmax", num_negatives=7)
    dense.model.item_embedding.sparse = False  # as of several processes
    dense.fit()
    assert [report.gradient_norm for report in dense.reports] == pytest.approx(
        [report.gradient_norm for report in sparse.reports], rel=1e-5
    )
    for name, weight in sparse.model.state_dict().items():
        assert torch.allclose(weight, dense.model.state_dict()[name], atol=1e-6), name
