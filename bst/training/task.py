"""Tasks: what a model learns, and by what the best epoch is chosen. A task is a value by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import nn

from bst.config import TrainConfig
from bst.data.batches import Examples, TrainingWindows
from bst.model import BST, ClickBST
from bst.system.registry import Registry
from bst.training.click_metrics import ClickMetrics, candidate_scores, metrics_of
from bst.training.loss import ClickLoss, NegativeSampler, PrefixLoss
from bst.training.metrics import RankingMetrics, evaluate, filter_by
from bst.training.negatives import Negatives
from bst.training.world import World


@runtime_checkable
class Metrics(Protocol):
    """Metrics of a model on held-out targets.

    `headline` is the number by which the best epoch is chosen, `shown` those of an epoch for people, by the columns of
    the task, and `scalars` all single numbers.
    """

    @property
    def headline(self) -> float: ...
    def shown(self) -> dict[str, float]: ...
    def scalars(self) -> dict[str, float]: ...
    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Task:
    """What a model learns.

    Attributes:
        name: `Architecture.task`.
        loss: makes the loss of a training batch, a sum over its examples.
        evaluate: measures the model on held-out examples.
        metrics: rebuilds what `to_dict` of the metrics gave.
        columns: the names of what its metrics show.
    """

    name: str
    loss: Callable[[BST, TrainingWindows, TrainConfig, str], nn.Module]
    evaluate: Callable[[BST, Examples, TrainingWindows, TrainConfig, World], Metrics]
    metrics: Callable[[Mapping[str, Any]], Metrics]
    columns: tuple[str, ...]


def _prefix_loss(model: BST, windows: TrainingWindows, config: TrainConfig, device: str) -> nn.Module:
    num_items = model.item_embedding.num_embeddings - 1
    if not config.samples_negatives(num_items):
        return PrefixLoss(model)
    return PrefixLoss(model, NegativeSampler(windows.item_counts(num_items), config.num_negatives, device))


def _ranking(
    model: BST, examples: Examples, windows: TrainingWindows, config: TrainConfig, world: World
) -> RankingMetrics:
    filter_seen = filter_by(None, examples)[0] if config.filter_seen is None else config.filter_seen
    return evaluate(model, examples, windows.max_length, filter_seen=filter_seen, world=world)


def negatives_of(model: BST, windows: TrainingWindows, config: TrainConfig, device: str = "cpu") -> Negatives:
    """Return the negatives of a click model: items of its training events, by the rule of `config`."""
    return Negatives(windows.item_counts(model.item_embedding.num_embeddings - 1), config.negatives, device)


def _click_loss(model: BST, windows: TrainingWindows, config: TrainConfig, device: str) -> nn.Module:
    assert isinstance(model, ClickBST)
    return ClickLoss(model, negatives_of(model, windows, config, device), config.negatives_per_event)


def _clicks(
    model: BST, examples: Examples, windows: TrainingWindows, config: TrainConfig, world: World
) -> ClickMetrics:
    drawn = negatives_of(model, windows, config).beside(examples, config.negatives_per_event, config.seed)
    scores = candidate_scores(model, examples, drawn, windows.max_length, world=world)
    return metrics_of(scores, examples, logits=True)


TASKS = Registry(
    "task",
    (
        Task("next_item", _prefix_loss, _ranking, RankingMetrics.from_dict, ("HR@10", "NDCG@10")),
        Task("click", _click_loss, _clicks, ClickMetrics.from_dict, ("AUC", "GAUC", "log loss")),
    ),
)
