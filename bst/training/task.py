"""Tasks: what a model learns, and by what the best epoch is chosen. A task is a value by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bst.config import TrainConfig
from bst.data.batches import Examples
from bst.data.impressions import Impressions, ImpressionWindows, Windows
from bst.data.windows import TrainingWindows
from bst.model import BST, ClickBST
from bst.system.registry import Registry
from bst.training.click_metrics import ClickMetrics, candidate_scores, metrics_of
from bst.training.loss import ClickLoss, ImpressionLoss, Loss, NegativeSampler, PrefixLoss
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
        fitted: chooses what the settings leave open, by the number of items and of training examples; gives them with
            lines that say what was chosen, and why.
        loss: makes the loss of a training batch, a sum over its examples.
        evaluate: measures the model on held-out examples.
        metrics: rebuilds what `to_dict` of the metrics gave.
        columns: the names of what its metrics show.
    """

    name: str
    fitted: Callable[[TrainConfig, int, int], tuple[TrainConfig, tuple[str, ...]]]
    loss: Callable[[BST, Windows, TrainConfig, str], Loss]
    evaluate: Callable[[BST, Examples, Windows, TrainConfig, World], Metrics]
    metrics: Callable[[Mapping[str, Any]], Metrics]
    columns: tuple[str, ...]


def _fitted_to_clicks(config: TrainConfig, num_items: int, num_examples: int) -> tuple[TrainConfig, tuple[str, ...]]:
    return config.fitted_to_clicks(), ()


def _prefix_loss(model: BST, windows: Windows, config: TrainConfig, device: str) -> Loss:
    assert isinstance(windows, TrainingWindows)
    num_items = model.item_embedding.num_embeddings - 1
    num_events, sampler = windows.num_examples, None
    if config.loss_of(num_items, num_events)[0] == "sampled_softmax":
        sampler = NegativeSampler(windows.item_counts(num_items), config.num_negatives, device)
    return PrefixLoss(model, sampler, config.trains_items_apart(num_items, num_events))


def _ranking(model: BST, examples: Examples, windows: Windows, config: TrainConfig, world: World) -> RankingMetrics:
    filter_seen = filter_by(None, examples)[0] if config.filter_seen is None else config.filter_seen
    return evaluate(model, examples, windows.max_length, filter_seen=filter_seen, world=world)


def negatives_of(model: BST, windows: Windows, config: TrainConfig, device: str = "cpu") -> Negatives:
    """Return the negatives of a click model: items of its training events, by the rule of `config`."""
    assert isinstance(windows, TrainingWindows)
    return Negatives(windows.item_counts(model.item_embedding.num_embeddings - 1), config.negatives, device)


def _click_loss(model: BST, windows: Windows, config: TrainConfig, device: str) -> Loss:
    assert isinstance(model, ClickBST)
    if isinstance(windows, ImpressionWindows):
        return ImpressionLoss(model)
    return ClickLoss(model, negatives_of(model, windows, config, device), config.negatives_per_event)


def shown_beside(model: BST, examples: Examples, windows: Windows, config: TrainConfig) -> Impressions:
    """Return the impressions that a click model is measured on: those of a log, or examples with drawn negatives."""
    if isinstance(examples, Impressions):
        return examples
    negatives = negatives_of(model, windows, config)
    return Impressions.drawn(examples, negatives.beside(examples, config.negatives_per_event, config.seed))


def _clicks(model: BST, examples: Examples, windows: Windows, config: TrainConfig, world: World) -> ClickMetrics:
    shown = shown_beside(model, examples, windows, config)
    return metrics_of(candidate_scores(model, shown, windows.max_length, world=world), shown, logits=True)


TASKS = Registry(
    "task",
    (
        Task("next_item", TrainConfig.fitted, _prefix_loss, _ranking, RankingMetrics.from_dict, ("HR@10", "NDCG@10")),
        Task("click", _fitted_to_clicks, _click_loss, _clicks, ClickMetrics.from_dict, ("AUC", "GAUC", "log loss")),
    ),
)
