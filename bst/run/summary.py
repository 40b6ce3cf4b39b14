"""Lines for people: a table's facts, each epoch's numbers, and the quality beside its baselines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from bst.config import DataConfig, Settings
from bst.data.impressions import Impressions
from bst.data.interactions import Interactions
from bst.run.dataset import Dataset
from bst.run.folder import Run
from bst.run.quality import DRAWN, ClickQuality, Quality
from bst.training.metrics import filter_by
from bst.training.precision import precision_of
from bst.training.task import TASKS
from bst.training.trainer import EpochReport
from bst.training.world import World

WIDTH = 6  # of a metric of four digits


def epoch_head(task: str) -> str:
    """Write the names of the columns of `epoch_line`."""
    columns = "  ".join(f"{name:>{WIDTH}}" for name in TASKS.find(task).columns)
    return f"{'epoch':>7}  {'loss':>7}  {columns}  {'rows/s':>8}   (validation)"


def about_table(dataset: Dataset) -> Iterator[str]:
    """Say what the table holds and what is predicted; each line decides what the metrics mean."""
    sequences, split, facts = dataset.sequences, dataset.split, dataset.facts
    reach = f", {facts.span}" if facts else ""
    if split.requests is not None:
        yield from _about_log(dataset, split.requests, reach)
        yield from facts.lines() if facts else ()
        return
    yield (
        f"{len(sequences.items):,} events of {sequences.num_users:,} users, {len(dataset.vocabularies.items):,} items"
        f"{reach}"
    )
    yield f"to be predicted: {split.rule}, for {len(split.test):,} users; {split.too_short:,} have no target"
    yield from facts.lines() if facts else ()


def _about_log(dataset: Dataset, training: Impressions, reach: str) -> Iterator[str]:
    clicks, split = dataset.sequences, dataset.split
    parts = {"training": training, **split.targets}
    sizes = {name: len(part.shown) for name, part in parts.items() if isinstance(part, Impressions)}
    yield (
        f"{sum(sizes.values()):,} impressions of {clicks.num_users:,} users, {len(clicks.items):,} of them clicked, "
        f"{len(dataset.vocabularies.items):,} items{reach}"
    )
    yield "a history is what its user clicked at earlier times; impressions of one time are one request"
    yield f"to be predicted: {split.rule}; impressions: " + ", ".join(
        f"{size:,} {name}" for name, size in sizes.items()
    )


def about_training(
    dataset: Dataset, settings: Settings, source: Run | None = None, world: World | None = None
) -> Iterator[str]:
    """Say what `about_table` says, and by which rules `world` trains and measures the model; `source` is the run that
    the training goes on from.
    """
    yield from about_table(dataset)
    if source is not None:
        added = len(dataset.vocabularies.items) - len(source.vocabularies.items)
        rates = settings.training.learning_rate, settings.training.item_learning_rate
        yield (
            f"goes on from the weights of a run; {added:,} items are new to it; learning rates are {rates[0]:g}, and "
            f"{rates[1]:g} of item vectors that are trained by row"
        )
    if dataset.event_context:
        names = ", ".join(dataset.event_context)
        yield f"{names}: the value of the event that is to be predicted, which must be known before that event"
    training, num_items = settings.training, len(dataset.vocabularies.items)
    num_events = dataset.windows(settings.model.max_length).num_examples
    chosen = settings.model.fitted(num_items, num_events)[1]
    if dataset.item_features or dataset.item_numbers:
        yield chosen["id_dropout"]
    if not settings.model.scores_catalogue:
        if settings.data.label is not None:
            return
        yield (
            f"clicks: every event against {training.negatives_per_event:,} negatives, {DRAWN[training.negatives]} from "
            "the items that are trained on"
        )
        if not settings.model.trains_prefixes:
            yield "each prefix of a history is trained as a row of its own: its states are others in each of them"
        return
    yield filter_by(training.filter_seen, dataset.split.validation)[1]
    yield from training.fitted(num_items, num_events)[1]
    yield chosen["dropout"]
    yield precision_of(training, settings.model.task, settings.model.dim, world or World())[1]


def epoch_line(report: EpochReport, epochs: int) -> str:
    """Write one epoch in the columns of `epoch_head`."""
    metrics = "  ".join(f"{value:{max(WIDTH, len(name))}.4f}" for name, value in report.validation.shown().items())
    return (
        f"{report.epoch:>3}/{epochs:<3}  {report.loss:7.4f}  {metrics}  "
        f"{report.rows_per_s:8,.0f}{'   best' if report.best else ''}"
    )


def unknown_lines(dataset: Dataset, interactions: Interactions) -> Iterator[str]:
    """Count the items and categories of a table that the vocabularies of a trained model lack."""
    if unknown := int((dataset.sequences.items == 0).sum()):
        yield f"{unknown:,} events of items that the run does not know are ignored in histories and missed as targets"
    vocabularies = dataset.vocabularies
    for name, vocabulary in (*vocabularies.context.items(), *vocabularies.events.items()):
        values = interactions.values(name).drop_nulls()
        strangers = values.filter(vocabulary.indices(values.cast(vocabulary.ids.dtype, strict=False)) == 0)
        if len(strangers):
            yield f"{name}: {len(strangers):,} values such as {strangers[0]!r} are not known to the run"


def warn_of_another_split(evaluated: DataConfig, trained: DataConfig) -> None:
    """Warn, also beside --json, where the run was split otherwise."""
    if evaluated.split_at != trained.split_at:
        warnings.warn(
            f"--split-at {evaluated.split_at} is not how the run was split: the targets here may have been trained on",
            stacklevel=2,
        )


def quality_lines(
    quality: Quality | ClickQuality, split: str, never: str = "are items that training never saw"
) -> Iterator[str]:
    """Lay the model out beside its baselines, as a table; `never` explains the share of unseen targets."""
    if isinstance(quality, ClickQuality):
        yield from _click_lines(quality, split, never)
        return
    columns = [f"{name}@{k}" for k in sorted(quality.model.hr, reverse=True) for name in ("HR", "NDCG")] + ["MRR"]
    yield f"{split:<12}" + "".join(f"{column:>9}" for column in columns)
    for name, metrics in {"this model": quality.model, **quality.baselines}.items():
        values = [part[k] for k in sorted(metrics.hr, reverse=True) for part in (metrics.hr, metrics.ndcg)]
        yield f"  {name:<10}" + "".join(f"{value:9.4f}" for value in (*values, metrics.mrr))
    unseen = f"{100 * quality.unseen:.1f} % of their targets {never}"
    yield f"  {quality.model.num_users:,} users; {unseen}"


def _click_lines(quality: ClickQuality, split: str, never: str) -> Iterator[str]:
    columns = ("AUC", "GAUC", "log loss")
    yield f"{split:<12}" + "".join(f"{column:>9}" for column in columns)
    for name, metrics in {"this model": quality.model, **quality.baselines}.items():
        loss = "" if metrics.log_loss is None else f"{metrics.log_loss:9.4f}"
        yield f"  {name:<10}{metrics.auc:9.4f}{metrics.grouped_auc:9.4f}{loss}"
    yield f"  {'base rate':<10}{0.5:9.4f}{0.5:9.4f}{quality.base_rate_log_loss:9.4f}"
    gaps = [abs(mean - share) for mean, share, _ in quality.model.calibration]
    yield (
        f"  calibration, ten buckets: probabilities are off by {max(gaps):.3f} at most, by {sum(gaps) / len(gaps):.3f} "
        "in the mean"
    )
    what = "impressions" if quality.is_of_log else "targets"
    unknown = f"; {quality.unknown:,} {what} are not known to the model" if quality.unknown else ""
    beside = (
        f"{quality.model.num_candidates:,} impressions"
        if quality.is_of_log
        else f"beside each target {quality.negatives}"
    )
    yield (
        f"  {quality.model.num_users:,} users, {beside}; {100 * quality.unseen:.1f} % of the {what} {never}{unknown}"
    )
