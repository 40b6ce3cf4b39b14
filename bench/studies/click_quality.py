"""The quality of click models, and how fast they are trained: this project's forms beside a rival on the same rows.

    python -m bench.studies.click_quality EVENTS --items ITEMS --users USERS --features COLUMN --config TOML --out JSON

Each contestant learns from the same training events, and is measured on the test event of each user, with the same
negatives, drawn uniformly and by popularity. Rows are written after each contestant and seed.

form          the form of the paper: one block read at the candidate, with the time to the request, item features;
              of a table without a clock (`--no-clock`) with places from the newest event
no times      the same without times: places from the newest event
no features   the same with the item alone
no history    the same without the history: an MLP of the candidate and the context
torch-rechub  that library's BST with its own trainer, on the same rows, written out one by one (`PYTHONPATH` has it)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.record.environment import describe
from bench.studies.rechub_ranker import Trained, train_rechub
from bst import Dataset, Settings, Trainer, read_interactions
from bst.data.batches import Examples
from bst.data.impressions import Impressions
from bst.data.windows import TrainingWindows
from bst.errors import InputError
from bst.model import ClickBST
from bst.run.pipeline import model_config
from bst.settings_file import read_settings
from bst.system.files import to_json, write_atomically
from bst.system.text import split_list
from bst.training.click_metrics import candidate_scores, metrics_of
from bst.training.negatives import Negatives

RULES = ("uniform", "popularity")
RECHUB = "torch-rechub"
FORM = "form"
NAMES = (FORM, "no times", "no features", "no history")
TEST_SEED = 0  # of the negatives of the test, the same for all


@dataclass(frozen=True)
class Task:
    """The tables and settings of a study; `clock`: whether the times of the events are those of a clock."""

    events: Path
    items: Path | None
    users: Path | None
    settings: Settings
    clock: bool

    def build(self, settings: Settings) -> Dataset:
        """Read the tables as a contestant's settings have it."""
        data = settings.data
        times = settings.model.reads_times
        dataset = Dataset.build(read_interactions(self.events, data, self.users, times=times))
        return dataset.with_items(self.items, data) if self.items and data.item_features else dataset


def forms(task: Task, features: tuple[str, ...]) -> dict[str, Settings]:
    """Return the settings of this project's contestants; those of `task` are without times."""
    settings, without_times = task.settings, ("none", "newest")

    def form(times: str, places: str, names: tuple[str, ...] = features) -> Settings:
        # The vector of the item is as wide in each: fields with columns of their own make the model wider.
        width = settings.model.feature_dim or 0
        dim = settings.model.dim + width * (len(names) - len(features) + (times != "none"))
        model = settings.model.model_copy(update={"event_times": times, "places": places, "dim": dim})
        return settings.model_copy(
            update={"model": model, "data": settings.data.model_copy(update={"item_features": names})}
        )

    timed = ("to_request", "none") if task.clock else without_times
    return {
        FORM: form(*timed),
        "no times": form(*without_times),
        "no features": form(*timed, ()),
        "no history": form(*without_times),
    }


class WithoutHistory(ClickBST):
    """A click model that sees no history: an MLP of the candidate, its features, and the context."""

    def encode_user(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        return super().encode_user({**inputs, "items": torch.zeros_like(inputs["items"])})


def run_seed(task: Task, features: tuple[str, ...], seed: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """Train and measure the contestants `names` with one seed; yield a row for each and rule of negatives."""
    for name, settings in forms(task, features).items():
        if name in names:
            kind = WithoutHistory if name == "no history" else ClickBST
            dataset = task.build(settings)
            yield from measured(name, dataset, settings, seed, fit(kind, dataset, settings, seed))
    if RECHUB in names:
        settings = forms(task, features)["no times"]
        dataset = task.build(settings)
        yield from measured(RECHUB, dataset, settings, seed, train_rechub(dataset, settings, seed))


def fit(kind: type[ClickBST], dataset: Dataset, settings: Settings, seed: int) -> Trained:
    """Train a model of this project."""
    training = settings.training.model_copy(update={"seed": seed})
    torch.manual_seed(seed)
    config = model_config(settings, dataset)
    model = kind(config)
    if model.item_features is not None:
        model.item_features.set_values(*dataset.item_values())
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, config.max_length)
    trainer = Trainer(model, windows, dataset.split.validation, training)
    started = time.perf_counter()
    trainer.fit()
    seconds = time.perf_counter() - started
    best = next(report.epoch for report in reversed(trainer.reports) if report.best)

    def score(examples: Examples, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        shown = Impressions.drawn(examples, candidates)
        return candidate_scores(model, shown, config.max_length).reshape(candidates.shape)

    return Trained(score, seconds, len(trainer.reports), best)


def measured(name: str, dataset: Dataset, settings: Settings, seed: int, trained: Trained) -> Iterator[dict[str, Any]]:
    """Measure on the test targets, by both rules of negatives, beside counting."""
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, settings.model.max_length)
    counts, test = windows.item_counts(len(dataset.vocabularies.items)), dataset.split.test
    for rule in RULES:
        candidates = Negatives(counts, rule).beside(test, settings.training.negatives_per_event, TEST_SEED)
        shown = Impressions.drawn(test, candidates)
        scored = {name: trained.score(test, candidates).ravel()}
        if name == FORM:
            scored |= dataset.baselines.candidate_scores(shown)
        for contestant, scores in scored.items():
            metrics = metrics_of(scores, shown, logits=contestant == name)
            speed = trained.epochs * windows.num_examples / trained.seconds if contestant == name else None
            yield {
                **{"contestant": contestant, "seed": seed, "negatives": rule, "best_epoch": trained.best},
                **{"examples_per_s": speed, "rows": windows.num_examples, **metrics.to_dict()},
            }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds, a line a contestant and rule."""
    lines = []
    for rule, contestant in dict.fromkeys((row["negatives"], row["contestant"]) for row in rows):
        own = [row for row in rows if (row["negatives"], row["contestant"]) == (rule, contestant)]
        parts = []
        for metric in ("auc", "grouped_auc", "log_loss"):
            values = [row[metric] for row in own if row.get(metric) is not None]
            if values:
                parts.append(
                    f"{metric} {np.mean(values):.4f} +- {np.std(values, ddof=1) if len(values) > 1 else 0:.4f}"
                )
        lines.append(f"{rule:<11}{contestant:<14}{len(own)} seeds  {'  '.join(parts)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--users", type=Path)
    parser.add_argument("--features", default="", help="columns of ITEMS, separated by commas")
    parser.add_argument("--config", type=Path, required=True, help="TOML as `bst train --config` takes it")
    parser.add_argument("--no-clock", action="store_true", help="the times of EVENTS are no times of a clock")
    parser.add_argument("--contestants", default=",".join((*NAMES, RECHUB)))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write, after each row")
    arguments = parser.parse_args()
    settings = read_settings(arguments.config)
    task = Task(arguments.events, arguments.items, arguments.users, settings, not arguments.no_clock)
    rows: list[dict[str, Any]] = []
    for seed in map(int, split_list(arguments.seeds)):
        for row in run_seed(task, tuple(split_list(arguments.features)), seed, split_list(arguments.contestants)):
            rows.append(row)
            print({name: value for name, value in row.items() if name != "calibration"}, flush=True)
            machine = describe((torch.get_num_threads(),))
            write_atomically(arguments.out, to_json({"command": sys.argv[1:], "machine": machine, "rows": rows}))
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
