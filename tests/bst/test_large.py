"""Claims at sizes that take minutes: run by `make test-all`."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from bst import BST, BSTConfig, Sequences, TrainConfig, Trainer, leave_one_out
from bst.data.windows import TrainingWindows
from tests.bst.training.test_trainer import small_trainer

pytestmark = pytest.mark.slow

EVENTS = 10_000_000
RAW_BYTES = EVENTS * 3 * 8  # user, item and time as int64
LOAD = """
import sys
from pathlib import Path
from bst import DataConfig, Dataset, read_interactions
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
dataset = Dataset.build(read_interactions(Path(sys.argv[1]), DataConfig()))
assert len(dataset.sequences.items) == int(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ten_million_events_load_within_three_times_their_arrays(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(1, 100_001, EVENTS),
            "item_id": rng.zipf(1.2, EVENTS) % 100_000 * 13 + 7,
            "timestamp": rng.integers(1_500_000_000, 1_700_000_000, EVENTS),
        }
    )
    path = tmp_path / f"events.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    found = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), str(EVENTS)], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) <= 3 * RAW_BYTES


def test_the_loader_is_twenty_times_as_fast_as_the_model() -> None:
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, 3001, length) for length in rng.integers(20, 200, 500)]
    data = Sequences.from_histories(histories)
    split = leave_one_out(data)
    windows = TrainingWindows(data, split.train_stops, 50)
    trainer = Trainer(BST(BSTConfig(num_items=3000)), windows, split.validation, TrainConfig(epochs=1))
    consumed = trainer.epoch().rows_per_s
    started = time.perf_counter()
    for _ in range(5):
        for rows in windows.epoch(rng, 1600):
            windows.batch(*rows)
    loaded = 5 * windows.num_examples / (time.perf_counter() - started)
    assert loaded >= 20 * consumed


@pytest.mark.filterwarnings("default")  # the compiler warns of itself
def test_a_compiled_training_learns_the_same() -> None:
    plain, compiled = (small_trainer(epochs=1, compile=how) for how in (False, True))
    for trainer in (plain, compiled):
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        trainer.fit()
    assert compiled.reports[0].loss == pytest.approx(plain.reports[0].loss, rel=1e-4)
