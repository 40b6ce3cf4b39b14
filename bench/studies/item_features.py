"""The gain by item features: for all items, for rare ones, and for those that training never saw.

    python -m bench.studies.item_features EVENTS ITEMS --features brand,category --out FILE.json

For each seed three models are trained: without features, with them, and with them on a table from which some items are
left out altogether. The last one gets these items back by `bst add-items`, as new ones. Each is measured on the test
targets by full ranking, as `bst evaluate` does: over all, over targets with fewer than `RARE` training events, and over
targets that are left-out items. Popularity stands beside each; of a left-out item it knows nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bench.record.environment import describe
from bst import DataConfig, Dataset, Interactions, Settings, load_run, read_interactions, train
from bst.data.sequences import fit_vocabularies
from bst.errors import InputError
from bst.run.growth.new_items import add_items
from bst.settings_file import read_settings
from bst.system.files import to_json, write_atomically
from bst.system.text import split_list
from bst.training.metrics import rank

RARE = 10
K = 10
NAMES = {"hr_10": "HR@10", "ndcg_10": "NDCG@10", "median_place": "median place"}


@dataclass(frozen=True)
class Task:
    """The tables and settings of a study."""

    events: Path
    items: Path
    users: Path | None
    settings: Settings
    left_out: float

    def with_features(self, names: tuple[str, ...]) -> Settings:
        """Give the settings with the item features `names`."""
        separator = self.settings.data.value_separator if names else None
        data = self.settings.data.model_copy(update={"item_features": names, "value_separator": separator})
        return self.settings.model_copy(update={"data": data})

    def read(self, data: DataConfig, events: Path | None = None) -> Interactions:
        """Read the events, or others in their place."""
        return read_interactions(events or self.events, data, self.users)


def measured(places: NDArray[np.int64]) -> dict[str, float]:
    """Return HR@10, NDCG@10 and the median of places from 1, and how many there are."""
    hits = places <= K
    gains = np.where(hits, 1 / np.log2(np.maximum(places, 1) + 1), 0)
    metrics = {"hr_10": float(hits.mean()), "ndcg_10": float(gains.mean()), "median_place": float(np.median(places))}
    return {"targets": len(places), **metrics}


def run_seed(task: Task, features: tuple[str, ...], seed: int) -> Iterator[dict[str, Any]]:
    """Train and measure the three models of one seed; yield a row a model and group of targets."""
    settings = task.with_features(features)
    interactions = task.read(settings.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, names in (("without", ()), ("with", features)):
            own = task.with_features(names)
            dataset = Dataset.build(interactions)
            if names:
                dataset = dataset.with_items(task.items, own.data)
            _train(dataset, own, folder / model, seed)
            yield from _rows(model, seed, dataset, _places(folder / model, dataset), _groups(dataset))
        catalogue = fit_vocabularies(interactions).items.ids
        new = catalogue.sample(fraction=task.left_out, seed=seed).implode()
        raw = pl.read_parquet(task.events) if task.events.suffix == ".parquet" else pl.read_csv(task.events)
        kept = raw.filter(~pl.col(settings.data.item_column).is_in(new))
        kept.write_parquet(folder / "kept.parquet")
        fewer = task.read(settings.data, folder / "kept.parquet")
        _train(Dataset.build(fewer).with_items(task.items, settings.data), settings, folder / "fewer", seed)
        grown, _ = add_items(load_run(folder / "fewer"), task.items, settings.data)
        dataset = Dataset.build(interactions, grown.vocabularies)
        examples = dataset.split.test
        targets = grown.vocabularies.items.ids.gather(examples.sequences.items[examples.targets] - 1)
        is_new = targets.is_in(new).to_numpy() & (examples.sequences.items[examples.targets] > 0)
        filter_seen = bool(grown.config.training.filter_seen)
        places = rank(grown.model, examples, grown.config.model.max_length, filter_seen=filter_seen)
        counted = Dataset.build(fewer, grown.vocabularies).baselines.popularity
        popular = counted.places(examples, filter_seen=filter_seen)
        for name_, ranks in (("left out", places), ("popularity", popular)):
            yield {"model": name_, "seed": seed, "group": "new items", **measured(ranks[is_new])}


def _train(dataset: Dataset, settings: Settings, out: Path, seed: int) -> None:
    training = settings.training.model_copy(update={"seed": seed})
    train(dataset, settings.model_copy(update={"training": training}), out)


def _places(run_path: Path, dataset: Dataset) -> NDArray[np.int64]:
    run = load_run(run_path)
    filter_seen = bool(run.config.training.filter_seen)
    return rank(run.model, dataset.split.test, run.config.model.max_length, filter_seen=filter_seen)


def _groups(dataset: Dataset) -> dict[str, NDArray[np.bool_]]:
    test = dataset.split.test
    counts = dataset.baselines.popularity.popularity[test.sequences.items[test.targets] - 1]
    return {"all items": np.ones(len(test), np.bool_), f"fewer than {RARE} events": counts < RARE}


def _rows(
    model: str, seed: int, dataset: Dataset, places: NDArray[np.int64], groups: dict[str, NDArray[np.bool_]]
) -> Iterator[dict[str, Any]]:
    for group, chosen in groups.items():
        yield {"model": model, "seed": seed, "group": group, **measured(places[chosen])}


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds, a line a group and model."""
    frame = pl.DataFrame(rows).group_by("group", "model", maintain_order=True)
    means = frame.agg(
        pl.col("targets").mean().round(0).cast(pl.Int64),
        *(pl.col(name).mean().round(4) for name in NAMES),
        *(pl.col(name).std().round(4).alias(f"{name}_sd") for name in NAMES),
    ).sort("group", maintain_order=True)
    lines = []
    for row in means.iter_rows(named=True):
        metrics = (f"{name} {row[key]:.4f} +- {row[f'{key}_sd'] or 0:.4f}" for key, name in NAMES.items())
        lines.append(f"{row['group']:<22}{row['model']:<12}{row['targets']:>7,} targets  {'  '.join(metrics)}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("items", type=Path)
    parser.add_argument("--users", type=Path)
    parser.add_argument("--features", required=True, help="columns of ITEMS, separated by commas")
    parser.add_argument("--config", type=Path, help="TOML as `bst train --config` takes it")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--left-out", type=float, default=0.05, help="share of the items that is left out")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write, after each seed")
    arguments = parser.parse_args()
    settings = read_settings(arguments.config) if arguments.config else Settings()
    task = Task(arguments.events, arguments.items, arguments.users, settings, arguments.left_out)
    rows: list[dict[str, Any]] = []
    for seed in map(int, split_list(arguments.seeds)):
        for row in run_seed(task, tuple(split_list(arguments.features)), seed):
            rows.append(row)
            print(row, flush=True)
        write_atomically(
            arguments.out,
            to_json({"command": sys.argv[1:], "machine": describe((torch.get_num_threads(),)), "rows": rows}),
        )
    print(table(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
