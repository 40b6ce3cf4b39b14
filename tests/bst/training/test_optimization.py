"""Rates, decay and clipping, compared with torch's own where it has them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bst import BST, BSTConfig, ContextFeature, TrainConfig
from bst.training.optimization import GradientClipper, parameter_groups, rate_of_step

STEPS = 10


def rates(config: TrainConfig) -> list[float]:
    return [config.learning_rate * rate_of_step(config, step, STEPS) for step in range(config.epochs * STEPS)]


def torch_rates(scheduler: type, config: TrainConfig, **options: object) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    schedule = scheduler(optimizer, **options)
    found = []
    for _ in range(config.epochs * STEPS):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_multistep_is_torchs_at_epochs() -> None:
    config = TrainConfig(
        epochs=6, learning_rate=1e-3, warmup_steps=0, schedule="multistep", milestones=(2, 5), gamma=0.3
    )
    expected = torch_rates(torch.optim.lr_scheduler.MultiStepLR, config, milestones=[2 * STEPS, 5 * STEPS], gamma=0.3)
    assert rates(config) == pytest.approx(expected)


def test_cosine_is_torchs() -> None:
    config = TrainConfig(epochs=4, learning_rate=1e-3, warmup_steps=0)
    assert rates(config) == pytest.approx(torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, config, T_max=40))


def test_constant_stays_and_warm_up_rises_in_equal_steps() -> None:
    config = TrainConfig(epochs=2, warmup_steps=4, schedule="constant", learning_rate=1.0)
    assert rates(config)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_warm_up_takes_at_most_half_of_all_steps() -> None:
    found = rates(TrainConfig(epochs=1, warmup_steps=200, learning_rate=1.0))
    assert np.argmax(found) == STEPS // 2
    assert found[STEPS // 2] == 1.0


@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_norms_and_biases_do_not_decay(tied: bool) -> None:
    feature = ContextFeature(name="gender", num_categories=2, dim=3)
    model = BST(BSTConfig(num_items=9, dim=8, num_heads=2, head_widths=(6,), context=(feature,), tied_output=tied))
    decaying, others = parameter_groups(model, 0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = {names[id(parameter)] for parameter in decaying["params"]}
    rests = {names[id(parameter)] for parameter in others["params"]}
    assert decays | rests == set(names.values())
    assert {name.split(".")[-1] for name in decays} == {"weight"}
    assert {"item_embedding.weight", "context_embeddings.0.weight", "cells.0.norm_1.weight", "head.0.bias"} <= rests
    assert {"cells.1.attention.query_key_value.weight", "cells.0.ff_2.weight", "head.0.weight"} <= decays
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def gradients(*values: float) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor([value])
    return parameters


@pytest.mark.parametrize("rule", ["off", "fixed", "adaptive_epoch", "adaptive_total"])
def test_the_norm_is_that_of_all_gradients_together(rule: str) -> None:
    clipper = GradientClipper(TrainConfig(clipping=rule, clip_norm=1.0))
    parameters = gradients(3.0, 4.0)
    assert clipper.clip(parameters) == pytest.approx(5.0)
    after = math.hypot(*(parameter.grad.item() for parameter in parameters if parameter.grad is not None))
    assert after == pytest.approx(5.0 if rule == "off" else 1.0, rel=1e-4)


def test_adaptive_values_follow_the_norms() -> None:
    epoch = GradientClipper(TrainConfig(clipping="adaptive_epoch", clip_norm=1.0))
    total = GradientClipper(TrainConfig(clipping="adaptive_total", clip_norm=1.0))
    fixed = GradientClipper(TrainConfig(clip_norm=1.0))
    for norms in ([1.0, 3.0], [5.0, 7.0, 9.0]):
        for clipper in (epoch, total, fixed):
            for norm in norms:
                clipper.clip(gradients(norm))
            clipper.end_epoch(len(norms))
    assert total.norms == [1, 3, 5, 7, 9]
    assert epoch.value == pytest.approx(np.mean([5, 7, 9]) + np.std([5, 7, 9]))
    assert total.value == pytest.approx(5.0)
    assert fixed.value == 1.0


@pytest.mark.parametrize("rule", ["adaptive_epoch", "adaptive_total"])
def test_an_epoch_without_steps_leaves_the_value_as_it_was(rule: str) -> None:
    """The notebook's clipper would give NaN here, and the next step NaN weights."""
    clipper = GradientClipper(TrainConfig(clipping=rule, clip_norm=2.0))
    clipper.end_epoch(0)
    assert clipper.value == 2.0
