"""Training with event features, event times and numbers: the run, its files, and what contradicts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from bst import Architecture, DataConfig, Dataset, Settings, TrainConfig, read_interactions, train
from bst.errors import InputError
from bst.run.folder import load_run
from bst.run.growth.new_items import add_items
from tests.conftest import Command, write_beside

DATA = DataConfig(event_features=("kind",), numbers=("age", "spent"), item_numbers=("price",))
SETTINGS = Settings(
    model=Architecture(
        dim=8, num_heads=2, num_blocks=1, ff_width=8, max_length=6, head_widths=(8,), event_times="to_next"
    ),
    training=TrainConfig(epochs=1, batch_events=80),
    data=DATA,
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_beside(tmp_path_factory.mktemp("tables"), users=30)


@pytest.fixture(scope="module")
def dataset(tables: tuple[Path, Path]) -> Dataset:
    built = Dataset.build(read_interactions(tables[0], DATA, tables[1], times=True))
    return built.with_items(prices(built), DATA)


def prices(dataset: Dataset, more: int = 0) -> pl.DataFrame:
    items = [*dataset.vocabularies.items.ids.to_list(), *range(10_000, 10_000 + more)]
    return pl.DataFrame(
        {"item_id": items, "price": [None if place % 4 == 0 else place * 1.5 for place in range(len(items))]}
    )


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(dataset, SETTINGS, out)
    return out


def test_a_run_is_read_as_it_was_trained(run: Path, dataset: Dataset) -> None:
    loaded = load_run(run)
    assert loaded.config.model.numbers == dataset.numbers
    assert [feature.name for feature in loaded.config.model.event_features] == ["kind"]
    assert loaded.heldout.test is not None
    examples = dataset.split.test.subset(10_000, 0)
    batch, kept = examples.batch(slice(0, 9), 6), loaded.heldout.test.batch(slice(0, 9), 6)
    assert batch.inputs.keys() == kept.inputs.keys()
    for name, tensor in batch.inputs.items():
        assert torch.equal(tensor.nan_to_num(7), kept.inputs[name].nan_to_num(7))
    assert loaded.heldout.beside["events"].shape[1:] == (6, 1)


def test_kinds_that_tell_the_next_item_are_learnt(tmp_path: Path) -> None:
    """Of two items the kind of the last event says which comes next, and the item itself says nothing."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, (200, 8))
    items = np.concatenate([rng.integers(1, 3, (200, 1)), kinds[:, :-1] + 1], axis=1)
    events = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(200), 8),
            "item_id": items.ravel(),
            "timestamp": np.tile(np.arange(8), 200),
            "kind": kinds.ravel(),
        }
    )
    data = DataConfig(event_features=("kind",))
    settings = Settings(
        model=Architecture(
            dim=16, num_heads=2, num_blocks=1, ff_width=16, max_length=8, head_widths=(16,), dropout=0.0
        ),
        training=TrainConfig(epochs=12, batch_events=80, filter_seen=False),
        data=data,
    )
    result = train(Dataset.build(read_interactions(events, data)), settings, tmp_path / "run")
    assert result.test.model.hr[1] > 0.95
    assert result.test.baselines["markov"].hr[1] < 0.7


def test_new_items_are_scored_by_their_numbers(run: Path, dataset: Dataset) -> None:
    loaded = load_run(run)
    grown, remarks = add_items(loaded, prices(dataset, more=8), DATA)
    assert "6 new items are scored by price" in remarks[0]
    assert any("2 others are left out" in line for line in remarks)
    batch = dataset.split.test.batch(slice(0, 5), 6)
    old = grown.vocabularies.items.indices(loaded.vocabularies.items.ids)
    moved = {**batch.inputs, "items": torch.from_numpy(np.concatenate([[0], old]))[batch.items]}
    before, after = loaded.model(**batch.inputs), grown.model(**moved)
    assert torch.allclose(before[:, 1:], after[:, torch.from_numpy(old)], atol=1e-5)
    folded = grown.folded()
    assert torch.equal(folded.model(**moved), after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event_times": "to_request"}, "event_times='to_request' is not for training: all prefixes"),
        ({"event_times": "none"}, "event_times='none', and the table was read with times"),
    ],
)
def test_settings_of_which_the_table_was_not_read_are_refused(
    changes: dict[str, str], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"model": SETTINGS.model.model_copy(update=changes)})
    with pytest.raises(InputError, match=message):
        train(dataset, settings, tmp_path / "run")
    others = SETTINGS.model_copy(update={"data": DATA.model_copy(update={"numbers": ()})})
    with pytest.raises(InputError, match="the settings want event features and numbers"):
        train(dataset, others, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_trains_resumes_and_evaluates(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(
        "[model]\ndim = 8\nnum_heads = 2\nff_width = 8\nmax_length = 4\nhead_widths = [8]\n"
    )
    names = ("--event-features", "kind", "--numbers", "age,spent", "--event-times", "to_next", "--epochs", "1")
    table = (tables[0], "--users", tables[1])
    call = ("train", *table, *names, "--config", tmp_path / "tiny.toml", "--out", tmp_path / "run")
    code, out, _ = bst_command(*call)
    assert code == 0
    assert "event times: the numbers in 'timestamp' are taken for Unix seconds" in out
    assert bst_command(*call, "--resume")[0] == 0
    code, out, _ = bst_command("evaluate", tmp_path / "run", *table, "--json")
    assert (code, '"markov"' in out) == (0, True)


def test_heldout_rows_that_do_not_fit_the_model_are_refused(run: Path, tmp_path: Path) -> None:
    import shutil

    import safetensors.torch

    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "heldout.safetensors"
    rows = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**rows, "events": rows["events"] + 9}, path)
    with pytest.raises(InputError, match="holds categories beyond the 2 of kind"):
        load_run(tmp_path / "run")
    safetensors.torch.save_file({**rows, "numbers": rows["numbers"].double()}, path)
    with pytest.raises(InputError, match=r"as numbers, not float32 \[rows, 2\]"):
        load_run(tmp_path / "run")
