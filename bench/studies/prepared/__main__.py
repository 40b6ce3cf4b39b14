"""The speed and the memory of `bst prepare`, of a training on its folder, and of the loader.

    python -m bench.studies.prepared [--events 200000000] [--users 4000000] [--items 50000] [--train-seconds 120]
      [--loss sampled_softmax] [--json FILE]

The table is made up: 5 million events a Parquet file, in order of time, users at random, and a few items far more
frequent than the others. While it is prepared, the temporary folder holds its rows twice, 24 bytes each, beside the
table and what is prepared; it is removed. The training is stopped after `--train-seconds`: it shows memory, not
quality.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.record.environment import describe
from bst.config import Architecture, TrainConfig
from bst.data.prepared import open_prepared
from bst.errors import CheckError
from bst.run.dataset import Dataset
from bst.system.files import temporary_folder, to_json, write_atomically

PART_EVENTS = 5_000_000
FIRST_TIME, EVENTS_A_SECOND = 1_600_000_000, 100
BATCHES = 2000


def main() -> None:
    """Measure, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("events", 200_000_000), ("users", 4_000_000), ("items", 50_000), ("train-seconds", 120)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--loss", default="sampled_softmax")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with temporary_folder() as folder:
        write_table(folder / "table", arguments.events, arguments.users, arguments.items)
        record = {"machine": describe((1,)), **vars(arguments), **measure(folder, arguments)}
    for name, value in record.items():
        if name != "machine":
            print(f"{name}: {value}")
    if arguments.json:
        write_atomically(arguments.json, to_json({**record, "json": str(arguments.json)}))


def write_table(folder: Path, num_events: int, num_users: int, num_items: int) -> None:
    """Write events as Parquet, `PART_EVENTS` a file; how often an item comes falls with its number as n^(-2/3)."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for first in range(0, num_events, PART_EVENTS):
        size = min(PART_EVENTS, num_events - first)
        columns = {
            "user_id": rng.integers(0, num_users, size),
            "item_id": (num_items * rng.random(size) ** 3).astype(np.int64) + 1,
            "timestamp": FIRST_TIME + (first + np.sort(rng.integers(0, size, size))) // EVENTS_A_SECOND,
        }
        pl.DataFrame(columns).write_parquet(folder / f"part-{first // PART_EVENTS:04}.parquet")


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take all measurements of the table in `folder`; names carry units."""
    data = folder / "data"
    prepare_s, prepare_peak = watched("prepare", folder / "table", "--out", data)
    loader = loader_rows_per_s(data)
    config = folder / "training.toml"
    config.write_text(f'[training]\nloss = "{arguments.loss}"\n')
    words = ("--config", config, "--validation-users", 1000)
    _, train_peak = watched("train", data, "--out", folder / "run", *words, seconds=arguments.train_seconds)
    return {
        "prepare_s": prepare_s,
        "prepare_events_per_s": arguments.events / prepare_s,
        "prepare_peak_bytes": prepare_peak,
        "data_bytes": sum(path.stat().st_size for path in data.iterdir()),
        "loader_rows_per_s": loader,
        "train_peak_bytes": train_peak,
    }


def watched(*words: object, seconds: float | None = None) -> tuple[float, int]:
    """Run `bst` in a process: its seconds, and the bytes of memory that it held at most. It is stopped after `seconds`.

    Raises:
        CheckError: it failed.
    """
    started, peak, stopped = time.perf_counter(), 0, False
    with subprocess.Popen([sys.executable, "-m", "bst", *map(str, words)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if seconds is not None and time.perf_counter() - started > seconds:
                process.terminate()
                stopped = True
                break
            peak = max(peak, _peak_bytes(process.pid))
            time.sleep(0.05)
    if process.returncode and not stopped:
        raise CheckError(f"bst {words[0]} ended with exit code {process.returncode}")
    return time.perf_counter() - started, peak


def _peak_bytes(process_id: int) -> int:
    """Read the peak of a process's memory so far; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def loader_rows_per_s(data: Path) -> float:
    """Cut the first batches of an epoch, and return how many events to predict they have a second."""
    windows = Dataset.of_prepared(open_prepared(data), times=False).windows(Architecture().max_length)
    epoch = windows.epoch(np.random.default_rng(0), TrainConfig().batch_events)
    rows, started = 0, time.perf_counter()
    for place in range(min(BATCHES, len(epoch))):
        rows += int((windows.batch(*epoch[place]).targets > 0).sum())
    return rows / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
