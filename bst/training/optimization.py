"""The rules of a step beside its gradient: weight decay by parameter, learning rate, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bst.config import TrainConfig

Optimizers = Mapping[str, torch.optim.Optimizer]


def optimizers_of(model: nn.Module, config: TrainConfig, by_row: Sequence[nn.Parameter]) -> Optimizers:
    """Make the optimisers of all weights by name: AdamW, and `rows`, the Adam of the tables `by_row`, if there are any.

    Of these only the rows move that have a gradient, and only their moments (torch's `SparseAdam`), so that a step
    costs as much as the rows that it reads, whatever the size of the catalogue. The highest learning rate of each group
    is its `initial_lr`.
    """
    groups = parameter_groups(model, config.weight_decay, by_row)
    assert config.learning_rate is not None, "the settings are fitted to the task"
    optimizers: dict[str, torch.optim.Optimizer] = {
        "optimizer": torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    }
    if by_row:
        optimizers["rows"] = torch.optim.SparseAdam(by_row, lr=config.item_learning_rate)
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def take_rows(table: nn.Parameter) -> None:
    """Replace the gradient of a table by one of its rows alone, each once, of those that have one.

    Where the gradient is dense, as several processes average it, those are the rows that are not all zeros.
    """
    gradient = table.grad
    assert gradient is not None
    if gradient.is_sparse:
        table.grad = gradient.coalesce()
        return
    rows = gradient.any(dim=1).nonzero().squeeze(1)
    table.grad = torch.sparse_coo_tensor(
        rows.unsqueeze(0), gradient[rows], gradient.shape, is_coalesced=True, check_invariants=False
    )


def parameter_groups(
    model: nn.Module, weight_decay: float, without: Sequence[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Split parameters for an optimiser, but for those `without`: matrices decay; embeddings, norms and biases do
    not.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    embeddings |= {id(parameter) for name, parameter in model.named_parameters() if name.endswith("positions")}
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    left_out = {id(parameter) for parameter in without}
    for parameter in model.parameters():
        if id(parameter) in left_out:
            continue
        (decaying if parameter.dim() > 1 and id(parameter) not in embeddings else others).append(parameter)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def rate_of_step(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Compute the share of the highest learning rate that the step with number `step`, from 0, has; a function of that
    alone, so that a resume needs no more.

    It rises linearly over the warm-up, then follows `config.schedule`: `constant`; `multistep`, multiplied by `gamma`
    when an epoch of `milestones` is over; or `cosine`, from full to 0 at the end of the last epoch (Loshchilov &
    Hutter, 2017, without restarts).
    """
    total = config.epochs * steps_per_epoch
    warmup = min(config.warmup_steps, total // 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "cosine":
        return (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1))) / 2
    if config.schedule == "multistep":
        passed = sum(step >= epoch * steps_per_epoch for epoch in config.milestones)
        return float(config.gamma**passed)
    return 1.0


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
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        parts = [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]
        norm = torch.nn.utils.get_total_norm(parts).item()
        if norm > self.value:
            torch._foreach_mul_(parts, self.value / (norm + 1e-6))
        self.norms.append(norm)
        return norm

    def end_epoch(self, steps: int) -> None:
        """Adapt the value to the norms, the last `steps` of which are the epoch's. Without steps it stays."""
        if self.rule == "adaptive_epoch" and steps:
            self.value = float(np.mean(self.norms[-steps:]) + np.std(self.norms[-steps:]))
        elif self.rule == "adaptive_total" and self.norms:
            self.value = float(np.mean(self.norms))
