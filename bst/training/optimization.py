"""The rules of a step beside its gradient: weight decay by parameter, learning rate, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from bst.config import TrainConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters for an optimiser: matrices decay; embeddings, norms and biases do not."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    embeddings |= {id(parameter) for name, parameter in model.named_parameters() if name.endswith("positions")}
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decaying if parameter.dim() > 1 and id(parameter) not in embeddings else others).append(parameter)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Compute the learning rate of the step with number `step`, from 0; a function of that alone, so that a resume
    needs no more.

    It rises linearly over the warm-up, then follows `config.schedule`: `constant`; `multistep`, multiplied by `gamma`
    when an epoch of `milestones` is over; or `cosine`, from full to 0 at the end of the last epoch (Loshchilov &
    Hutter, 2017, without restarts).
    """
    total = config.epochs * steps_per_epoch
    warmup = min(config.warmup_steps, total // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    if config.schedule == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1))) / 2
    if config.schedule == "multistep":
        passed = sum(step >= epoch * steps_per_epoch for epoch in config.milestones)
        return config.learning_rate * float(config.gamma**passed)
    return config.learning_rate


class GradientClipper:
    """A clipper of the total gradient norm to `value`, which moves when an epoch ends if the rule is adaptive.

    Attributes:
        value: the total norm to which larger gradients are scaled down; infinite where clipping is off.
        norms: the total norm of every step so far, before it was clipped.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.rule = config.clipping
        self.value = math.inf if config.clipping == "off" else config.clip_norm
        self.norms: list[float] = []

    def clip(self, parameters: Iterable[nn.Parameter]) -> float:
        """Scale the gradients of `parameters` down to `value` in place, and return their total L2 norm before that."""
        self.norms.append(torch.nn.utils.clip_grad_norm_(parameters, self.value).item())
        return self.norms[-1]

    def end_epoch(self, steps: int) -> None:
        """Adapt the value to the norms, the last `steps` of which are the epoch's. Without steps it stays."""
        if self.rule == "adaptive_epoch" and steps:
            self.value = float(np.mean(self.norms[-steps:]) + np.std(self.norms[-steps:]))
        elif self.rule == "adaptive_total" and self.norms:
            self.value = float(np.mean(self.norms))
