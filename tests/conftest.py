"""Small data with known properties, and one trained run and its bundle that the tests share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import Architecture, DataConfig, Dataset, Settings, TrainConfig, read_interactions, train
from export import Manifest, export_bundle

TINY = Architecture(
    dim=16, num_heads=2, num_blocks=2, ff_width=32, max_length=12, head_widths=(24,), context_dim=4, tied_output=False
)
SHARED = Path(__file__).parents[1].parent / "shared" / "data"


def write_events(path: Path, *, users: int = 60, items: int = 40, text: bool = False, seed: int = 0) -> Path:
    """Random events of 3 to 20 a user, with item ids that are neither dense nor sorted."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 21, users)
    ids = rng.permutation(items) * 7 + 11
    rows = {
        "user_id": np.repeat(np.arange(1, users + 1), counts),
        "item_id": ids[rng.integers(0, items, counts.sum())],
        "timestamp": rng.permutation(counts.sum()),
    }
    frame = pl.DataFrame(rows)
    if text:
        frame = frame.with_columns(item_id=pl.format("item-{}", "item_id"))
    frame.write_csv(path)
    return path


def write_users(path: Path, *, users: int = 60) -> Path:
    """Users with a text feature, partly unknown, and a numeric one."""
    numbers = np.arange(1, users + 1)
    gender = [None if number % 5 == 0 else "FM"[number % 2] for number in numbers]
    pl.DataFrame({"user_id": numbers, "gender": gender, "region": numbers % 3 + 4}).write_csv(path)
    return path


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return write_events(folder / "events.csv"), write_users(folder / "users.csv")


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train a tiny model on random events and give its run."""

    def make(
        name: str, *, text: bool = False, context: tuple[str, ...] = ("gender", "region"), **sizes: object
    ) -> Path:
        folder = tmp_path_factory.mktemp(name)
        events, users = write_events(folder / "events.csv", text=text), write_users(folder / "users.csv")
        settings = Settings(
            model=TINY.model_copy(update=sizes),
            training=TrainConfig(epochs=1, batch_size=16),
            data=DataConfig(context=context),
        )
        interactions = read_interactions(events, settings.data, users)
        train(Dataset.build(interactions), settings, folder / "run")
        return folder / "run"

    return make


@pytest.fixture(scope="session")
def run_path(make_run: Callable[..., Path]) -> Path:
    return make_run("shared")


@pytest.fixture(scope="session")
def exported(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("exported") / "bundle"
    return path, export_bundle(run_path, path, k=5)


@pytest.fixture
def bundle_path(exported: tuple[Path, Manifest]) -> Path:
    return exported[0]


@pytest.fixture
def bst_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command `bst` in this process: exit code, stdout, stderr."""
    from bst.cli import run

    def call(*arguments: object) -> tuple[int, str, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = run([str(one) for one in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
