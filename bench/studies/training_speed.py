"""Training examples a second, contestants side by side.

    python -m bench.studies.training_speed EVENTS [--replay PYTHON]

Every contestant is a process of its own with the same threads, and learns from the same users in rounds that take
turns. A row is one prediction that was learnt from. The first round warms up and does not count; the ratio to `tied`
is taken within each round, and its interval over rounds.

bst       this project's defaults
tied      the sizes of SASRec: dim 64, no hidden layer
bfloat16  `tied` under autocast
sampled   `tied` with a sampled softmax of 512 items
apart     `tied`, but every prefix is a row of its own, as where a data set is stored prefix by prefix
replay    SasRec of the package replay-rec (tied, full cross-entropy) in a plain loop, without the time of its loader or
          of Lightning, on the very batches that this project makes: alike in length and cut to their longest window,
          where its own loader would pad all to `max_length`. PYTHON is the interpreter of an environment that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from bench.record.environment import describe
from bench.record.statistics import mean_of_launches
from bst import BST, Architecture, DataConfig, Dataset, Sequences, Settings, TrainConfig, Trainer, read_interactions
from bst.data.batches import Examples
from bst.data.split import leave_one_out
from bst.data.windows import TrainingWindows
from bst.errors import InputError
from bst.run.pipeline import model_config
from bst.system.files import write_atomically
from bst.training.optimization import parameter_groups

USERS = 400
PREFIXES_A_STEP = 256
TIED: dict[str, Any] = {"dim": 64, "head_widths": (), "dropout": 0.3}
REPLAY_WORKER = Path(__file__).with_name("replay_worker.py")


@dataclass(frozen=True)
class Contestant:
    """A way to train with this project: its settings beside the defaults."""

    model: dict[str, Any]
    training: dict[str, Any]


CONTESTANTS = {
    "bst": Contestant({}, {}),
    "tied": Contestant(TIED, {}),
    "bfloat16": Contestant(TIED, {"precision": "bfloat16"}),
    "sampled": Contestant(TIED, {"loss": "sampled_softmax", "num_negatives": 512}),
    "apart": Contestant(TIED, {}),
}


def main() -> None:
    """Race all contestants and print a table, or (as a worker) train a round for each line on stdin."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.worker:
        _work(_round_of(arguments.worker, *_few_users(arguments)))
        return
    names = [*CONTESTANTS, *(["replay"] if arguments.replay else [])]
    with tempfile.TemporaryDirectory() as folder:
        workers = {name: _start(name, arguments, Path(folder)) for name in names}
        rates: dict[str, list[float]] = {name: [] for name in names}
        rng = np.random.default_rng(0)
        for _ in range(arguments.rounds):
            for name in rng.permutation(names):
                rates[str(name)].append(_one_round(workers[str(name)]))
        for worker in workers.values():
            worker.communicate(timeout=60)
    print(_table(rates))
    if arguments.json:
        record = {"rows_per_s": rates, "arguments": sys.argv[1:], "machine": describe((arguments.threads,))}
        write_atomically(arguments.json, json.dumps(record, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("interactions", type=Path)
    parser.add_argument("--replay", metavar="PYTHON", help="interpreter of an environment with replay-rec[torch]")
    parser.add_argument("--max-length", type=int, default=Architecture().max_length)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=CONTESTANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _few_users(arguments: argparse.Namespace) -> tuple[Dataset, int]:
    """Return the first users of the table, with the catalogue of all."""
    whole = Dataset.build(read_interactions(arguments.interactions, DataConfig()))
    users = min(USERS, whole.sequences.num_users)
    stop = whole.sequences.offsets[users]
    sequences = Sequences(
        whole.sequences.items[:stop], whole.sequences.offsets[: users + 1], whole.sequences.context[:users]
    )
    return Dataset(sequences, leave_one_out(sequences), whole.vocabularies), arguments.max_length


def _round_of(name: str, dataset: Dataset, max_length: int) -> Callable[[], float]:
    contestant = CONTESTANTS[name]
    settings = Settings(
        model=Architecture(**{**contestant.model, "max_length": max_length}),
        # Each event once: windows with nothing in common, as those of replay-rec.
        training=TrainConfig(**{**contestant.training, "epochs": 10_000, "overlap": 0.0}),
    )
    torch.manual_seed(0)
    model = BST(model_config(settings, dataset))
    if name == "apart":
        return _prefixes_apart(model, dataset, max_length)
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, max_length)
    trainer = Trainer(model, windows, dataset.split.validation, settings.training)
    return lambda: trainer.epoch().rows_per_s


def _prefixes_apart(model: BST, dataset: Dataset, max_length: int) -> Callable[[], float]:
    """Train on examples cut one by one, 256 to a step, a few steps a round: it is slow."""
    sequences, stops = dataset.sequences, dataset.split.train_stops
    targets = np.concatenate(
        [np.arange(start + 1, stop) for start, stop in zip(sequences.offsets, stops, strict=False)]
    )
    users = np.searchsorted(sequences.offsets, targets, side="right") - 1
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), fused=True)
    rng = np.random.default_rng(0)
    examples = Examples(sequences, users, targets)

    def train() -> float:
        started, steps = time.perf_counter(), 12
        for _ in range(steps):
            batch = examples.batch(rng.integers(0, len(examples), PREFIXES_A_STEP), max_length)
            scores = model.item_scores(model.user_vectors(batch.inputs))
            optimizer.zero_grad()
            F.cross_entropy(scores, batch.targets - 1).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        return steps * PREFIXES_A_STEP / (time.perf_counter() - started)

    return train


def _work(train: Callable[[], float]) -> None:
    for _ in sys.stdin:
        print(train(), flush=True)


def _start(name: str, arguments: argparse.Namespace, folder: Path) -> subprocess.Popen[str]:
    """Start a contestant and wait for a first round that does not count."""
    if name == "replay":
        dataset, max_length = _few_users(arguments)
        _save_windows(folder / "windows.npz", dataset, max_length)
        command = [arguments.replay, "-I", str(REPLAY_WORKER), str(folder / "windows.npz"), str(arguments.threads)]
    else:
        command = [sys.executable, "-m", "bench.studies.training_speed", str(arguments.interactions), "--worker", name]
        command += ["--max-length", str(arguments.max_length), "--threads", str(arguments.threads)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _one_round(worker)
    return worker


def _save_windows(path: Path, dataset: Dataset, max_length: int) -> None:
    """Write one epoch's windows, batch after batch: items and targets int64 `[n, max_length]`, 0 is padding; `counts`,
    int64 `[num_batches]`, are the windows of each batch.
    """
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, max_length)
    batches = windows.epoch(np.random.default_rng(0), TrainConfig().batch_events)
    batch = windows.batch(*map(np.concatenate, list(zip(*batches, strict=True))[:3]))
    padding = (max_length - batch.items.size(1), 0)
    np.savez(
        path,
        items=F.pad(batch.items, padding).numpy(),
        targets=F.pad(batch.targets, padding).numpy(),
        num_items=len(dataset.vocabularies.items),
        counts=np.array([len(users) for users, *_ in batches]),
        sizes=json.dumps(Architecture(**TIED).model_dump()),
    )


def _one_round(worker: subprocess.Popen[str]) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("round\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise InputError(f"a contestant ended with code {worker.wait()}: {worker.args!r}; its output is above")
    return float(line)


def _table(rates: dict[str, list[float]]) -> str:
    lines = [f"{'':<10}{'rows/s':>10}{'IQR':>18}{'to tied (95 %)':>28}"]
    base: NDArray[np.float64] = np.log(rates["tied"])
    for name, speeds in rates.items():
        low, middle, high = np.percentile(speeds, [25, 50, 75])
        ratio = mean_of_launches(np.log(speeds) - base)
        interval = f"{np.exp(ratio.value):.2f} ({np.exp(ratio.low):.2f}-{np.exp(ratio.high):.2f})"
        lines.append(f"{name:<10}{middle:>10,.0f}{f'{low:,.0f}-{high:,.0f}':>18}{interval:>28}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
