"""The quality and speed of other libraries' next-item models, beside `bst train` on the same table.

    python -m bench.studies.rivals EVENTS --rival replay-rec --epochs 16 --out FILE.jsonl
      [--loss full] [--seeds 0,1,2] [--patience 3] [--minutes 30] [--steps 20]

Each rival is trained on the training events of the leave-one-out split by the library's own trainer, with the settings
that the library's examples have. All items are ranked for each validation user after an epoch, and for each test user
once, by the epoch with the best validation NDCG@10. Metrics and split are those of `bst train`. rows/s counts targets,
without padding, and the seconds without validation.

replay-rec    SasRec, `--loss` sampled or full
torch-rechub  SASRec, `--loss` pair-wise
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.studies.rivals import rechub_sasrec, replay_sasrec
from bench.studies.rivals.task import Limits, Progress, Task
from bst import Dataset, read_interactions
from bst.errors import InputError
from bst.system.text import split_list

RIVALS = {library.PACKAGE: library for library in (replay_sasrec, rechub_sasrec)}


def main() -> None:
    arguments = parse()
    library = RIVALS[arguments.rival]
    if missing := [name for name in library.NEEDS if find_spec(name) is None]:
        pinned = f"{library.INSTALLED} torch=={version('torch').split('+')[0]}"
        raise InputError(f"{arguments.rival} needs the package {' and '.join(missing)}; pip install {pinned}")
    loss = arguments.loss or library.LOSSES[0]
    if loss not in library.LOSSES:
        raise InputError(f"--loss {loss} is not of {arguments.rival}; give {' or '.join(library.LOSSES)}")
    limits = Limits(arguments.epochs, arguments.patience, arguments.minutes, arguments.steps)
    task = Task(Dataset.build(read_interactions(arguments.events)))
    settings = {**library.SETTINGS, "threads": torch.get_num_threads(), "loss": loss}
    versions = {name: version(name) for name in (arguments.rival, "torch")}
    print(f"{versions}  {settings}", flush=True)
    for seed in map(int, split_list(arguments.seeds)):
        label = {"rival": arguments.rival, "events": arguments.events.parent.name, "seed": seed, "settings": settings}
        progress = Progress(task, library.MAX_LENGTH, limits, {**label, "versions": versions}, arguments.out)
        model = library.train(task, loss, seed, limits, progress)
        if limits.steps is None:
            progress.test(model)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path, help="table as `bst train` takes it")
    parser.add_argument("--rival", choices=tuple(RIVALS), required=True)
    parser.add_argument("--loss", help="one that the rival has; its first one if not given")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--patience", type=int, help="epochs without a better one, after which a training ends")
    parser.add_argument("--minutes", type=float, help="after which no epoch starts")
    parser.add_argument("--steps", type=int, help="batches an epoch, to measure speed alone")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, added after each epoch")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
