"""`bst train`, `bst evaluate` and `bst import-notebook`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bst.config import Architecture, DataConfig, Settings, TrainConfig, read_settings
from bst.data.tables import read_interactions
from bst.errors import InputError
from bst.imports.notebook import import_notebook as import_from_notebook
from bst.run.folder import load_run
from bst.run.pipeline import Dataset
from bst.run.pipeline import train as train_dataset
from bst.system.console import progress_bar
from bst.system.files import require_new, to_json
from bst.system.text import split_list
from bst.system.validation import validated
from bst.training.metrics import RankingMetrics
from bst.training.metrics import evaluate as evaluate_examples
from bst.training.trainer import EpochReport
from bst.training.world import World, joined_world, require_device

TRAINING, DATA, MODEL = TrainConfig(), DataConfig(), Architecture()

EPOCH_HEAD = f"{'epoch':>7}  {'loss':>7}  {'HR@10':>6}  {'NDCG@10':>7}  {'rows/s':>8}   (validation)"

Table = Annotated[Path, typer.Argument(metavar="INTERACTIONS", help="Events: CSV or TSV (also .gz), or Parquet.")]
Users = Annotated[Path | None, typer.Option(help="Table of users, joined for context features that it holds.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")]


def train(
    interactions: Table,
    out: Annotated[Path, typer.Option(help="The run to write; must not exist.")],
    users: Users = None,
    context: Annotated[str, typer.Option(help="Context features: column names, separated by commas.")] = "",
    config: Annotated[Path | None, typer.Option(help="TOML with tables [model], [training], [data].")] = None,
    epochs: Annotated[int | None, typer.Option(help=f"Passes over the data.  [default: {TRAINING.epochs}]")] = None,
    seed: Annotated[int | None, typer.Option(help=f"Fixes every random choice.  [default: {TRAINING.seed}]")] = None,
    device: Device = "cpu",
    user_column: Annotated[str | None, typer.Option(help=f"[default: {DATA.user_column}]")] = None,
    item_column: Annotated[str | None, typer.Option(help=f"[default: {DATA.item_column}]")] = None,
    time_column: Annotated[str | None, typer.Option(help=f"[default: {DATA.time_column}]")] = None,
    text_ids: Annotated[
        bool, typer.Option("--text-ids", help="Keep ids as text, also where they look like numbers.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run if it is there, from its last checkpoint.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write scalars into the run's folder tensorboard besides.")
    ] = False,
) -> None:
    """Train a model on a table of interactions and write a run.

    Several processes share the work when torchrun starts them: torchrun --nproc-per-node 2 -m bst train ...
    """
    if not resume:
        require_new(out, "the run")
    settings = _merged(
        read_settings(config) if config else Settings(),
        training={"epochs": epochs, "seed": seed},
        data={
            "context": tuple(split_list(context)) or None,
            "user_column": user_column,
            "item_column": item_column,
            "time_column": time_column,
            "text_ids": text_ids or None,
        },
    )
    with joined_world(device) as world:
        say = print if world.is_first else _silent
        dataset = Dataset.build(read_interactions(interactions, settings.data, users))
        say(_what_is_learnt(dataset, settings.training))
        say(EPOCH_HEAD)
        result = train_dataset(
            dataset,
            settings,
            out,
            world=world,
            resume=resume,
            tensorboard=tensorboard,
            progress=progress_bar if world.is_first else None,
            on_epoch=lambda report: say(epoch_line(report, settings.training.epochs), flush=True),
        )
        say(f"validation, best epoch: {_line(result.validation)}")
        say(f"test:                   {_line(result.test)}")
        say(f"wrote {out}\nnext: bst export {out} --out BUNDLE")


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote.")],
    interactions: Table,
    users: Users = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Rank also the items that the history holds.")] = False,
    device: Device = "cpu",
    json_output: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Measure a run on the last event of each user, ranking the whole catalogue."""
    require_device(device)
    loaded = load_run(run)
    text_ids = loaded.vocabularies.items.dtype == "string"  # also where the ids of this table look like numbers
    data = loaded.config.data.model_copy(update={"text_ids": text_ids})
    dataset = Dataset.build(read_interactions(interactions, data, users), loaded.vocabularies)
    if not len(dataset.split.test):
        raise InputError(f"no user of {interactions} has three events or more; there is nothing to predict, give more")
    if not dataset.sequences.items.any():
        raise InputError(f"{run} knows no item of {interactions}; give events of the items that it was trained on")
    filter_seen = loaded.config.training.filter_seen and not keep_seen
    metrics = {
        name: evaluate_examples(
            loaded.model.to(device),
            examples,
            loaded.config.model.max_length,
            filter_seen=filter_seen,
            world=World(device=device),
        )
        for name, examples in (("validation", dataset.split.validation), ("test", dataset.split.test))
        if len(examples)
    }
    if json_output:
        print(to_json({name: one.to_dict() for name, one in metrics.items()}), end="")
        return
    unknown = int((dataset.sequences.items == 0).sum())
    print(f"{len(dataset.split.test):,} users, {dataset.split.too_short:,} with fewer than three events left out")
    if unknown:
        print(f"{unknown:,} events of items that the run does not know are ignored in histories and missed as targets")
    print("items of the history are " + ("left out" if filter_seen else "ranked like any other"))
    for name, one in metrics.items():
        print(f"{name + ':':<12}{_line(one)}")


def import_notebook(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="What torch.save(model.state_dict(), path) wrote.")
    ],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The notebook's config, as JSON or the .py file.")],
    out: Annotated[Path, typer.Option(help="The run to write; must not exist.")],
    context: Annotated[
        str, typer.Option(help="Names of the context features, in order.  [default: context_0,...]")
    ] = "",
) -> None:
    """Turn a model of the seed notebook into a run that scores as the notebook does."""
    require_new(out, "the run")
    run = import_from_notebook(weights, config, out, tuple(split_list(context)))
    model = run.config.model
    print(
        f"{model.num_items:,} items, dim {model.dim}, {model.num_blocks} blocks, {len(model.context)} context features"
    )
    print(f"wrote {out}\nnext: bst export {out} --out BUNDLE")


def epoch_line(report: EpochReport, epochs: int) -> str:
    """One epoch in the columns of `EPOCH_HEAD`."""
    metrics = report.validation
    return (
        f"{report.epoch:>3}/{epochs:<3}  {report.loss:7.4f}  {metrics.hr_10:6.4f}  {metrics.ndcg_10:7.4f}  "
        f"{report.rows_per_s:8,.0f}{'   best' if report.best else ''}"
    )


def _line(metrics: RankingMetrics) -> str:
    return (
        f"HR@10 {metrics.hr_10:.4f}  NDCG@10 {metrics.ndcg_10:.4f}  HR@1 {metrics.hr_1:.4f}  MRR {metrics.mrr:.4f}"
        f"  ({metrics.num_users:,} users)"
    )


def _what_is_learnt(dataset: Dataset, training: TrainConfig) -> str:
    sequences, split, num_items = dataset.sequences, dataset.split, len(dataset.vocabularies.items)
    lines = [
        f"{len(sequences.items):,} events of {sequences.num_users:,} users, {num_items:,} items; "
        f"predicting for {len(split.test):,} users"
    ]
    if split.too_short:
        lines.append(f"{split.too_short:,} users with fewer than three events are trained on but not predicted for")
    if training.samples_negatives(num_items):
        lines.append(f"sampled softmax: every target against {training.num_negatives:,} items drawn a step")
    return "\n".join(lines)


def _silent(*words: object, flush: bool = False) -> None:
    """Print nothing, in the processes that leave it to the first one."""


def _merged(settings: Settings, **tables: dict[str, Any]) -> Settings:
    values = settings.model_dump()
    for table, changes in tables.items():
        values[table].update({key: value for key, value in changes.items() if value is not None})
    return validated(Settings, values, "the options")
