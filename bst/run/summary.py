"""Lines for people: a table's facts, each epoch's numbers, and the quality beside its baselines."""

from __future__ import annotations

from collections.abc import Iterator

from bst.config import Settings
from bst.data.interactions import Interactions
from bst.run.dataset import Dataset
from bst.run.quality import DRAWN, ClickQuality, Quality
from bst.training.metrics import filter_by
from bst.training.task import TASKS
from bst.training.trainer import EpochReport

WIDTH = 6  # of a metric of four digits


def epoch_head(task: str) -> str:
    """Write the names of the columns of `epoch_line`."""
    columns = "  ".join(f"{name:>{WIDTH}}" for name in TASKS.find(task).columns)
    return f"{'epoch':>7}  {'loss':>7}  {columns}  {'rows/s':>8}   (validation)"


def about_table(dataset: Dataset) -> Iterator[str]:
    """Say what the table holds and what is predicted; each line decides what the metrics mean."""
    sequences, split, facts = dataset.sequences, dataset.split, dataset.facts
    reach = f", {facts.span}" if facts else ""
    yield (
        f"{len(sequences.items):,} events of {sequences.num_users:,} users, {len(dataset.vocabularies.items):,} items"
        f"{reach}"
    )
    yield f"to be predicted: {split.rule}, for {len(split.test):,} users; {split.too_short:,} have no target"
    yield from facts.lines() if facts else ()


def about_training(dataset: Dataset, settings: Settings) -> Iterator[str]:
    """Say what `about_table` says, and by which rules the model is trained and measured."""
    yield from about_table(dataset)
    if dataset.event_context:
        names = ", ".join(dataset.event_context)
        yield f"{names}: the value of the event that is to be predicted, which must be known before that event"
    training = settings.training
    if not settings.model.scores_catalogue:
        yield (
            f"clicks: every event against {training.negatives_per_event:,} negatives, {DRAWN[training.negatives]} from "
            "the items that are trained on"
        )
        if not settings.model.trains_prefixes:
            yield "each prefix of a history is trained as a row of its own: its states are others in each of them"
        return
    yield filter_by(training.filter_seen, dataset.split.validation)[1]
    num_items = len(dataset.vocabularies.items)
    if training.samples_negatives(num_items):
        yield f"sampled softmax: every target against {training.num_negatives:,} items drawn a step"


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
    losses = {"this model": quality.model.log_loss, "base rate": quality.base_rate_log_loss}
    for name, metrics in {"this model": quality.model, **quality.baselines}.items():
        loss = f"{losses[name]:9.4f}" if name in losses else ""
        yield f"  {name:<10}{metrics.auc:9.4f}{metrics.grouped_auc:9.4f}{loss}"
    yield f"  {'base rate':<10}{0.5:9.4f}{0.5:9.4f}{losses['base rate']:9.4f}"
    gaps = [abs(mean - share) for mean, share, _ in quality.model.calibration]
    yield (
        f"  calibration, ten buckets: probabilities are off by {max(gaps):.3f} at most, by {sum(gaps) / len(gaps):.3f} "
        "in the mean"
    )
    unknown = f"; {quality.unknown:,} targets are not known to the model" if quality.unknown else ""
    yield (
        f"  {quality.model.num_users:,} users, beside each target {quality.negatives}; "
        f"{100 * quality.unseen:.1f} % of the targets {never}{unknown}"
    )
