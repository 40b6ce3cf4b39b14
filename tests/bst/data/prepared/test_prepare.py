"""Prepared data is its table, sorted on disk: the same dataset, the same training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst import Dataset, Settings, TrainConfig, read_interactions, train
from bst.config import DataConfig
from bst.data.prepared import open_prepared, prepare
from tests.conftest import TINY, same_but_for_speed
from tests.peak import HAS_PEAK, peak_of

USERS = 80


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the table had thousands of millions of rows: many runs, ranges and shards."""
    monkeypatch.setattr("bst.data.prepared.sorting.PIECE_ROWS", 70)
    monkeypatch.setattr("bst.data.prepared.runs.SAMPLE", 8)
    monkeypatch.setattr("bst.data.sequences.SHARD_EVENTS", 60)


def rows(*, text: bool = False, dates: bool = False) -> pl.DataFrame:
    """Events in random order, many at the same time, with repeats, and with inputs that are partly unknown."""
    rng = np.random.default_rng(1)
    num_rows = 900
    users = np.minimum(rng.geometric(0.03, num_rows), USERS)  # some have most of the events
    items, times = rng.integers(1, 9, num_rows) * 5, 1_600_000_000 + rng.integers(0, 40, num_rows) * 3600
    unknown = rng.random(num_rows) < 0.2
    frame = pl.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": times,
            "kind": [
                None if gap else "vbp"[place] for gap, place in zip(unknown, rng.integers(0, 3, num_rows), strict=False)
            ],
            "hour": rng.integers(0, 24, num_rows),
            "spent": [
                None if gap else amount for gap, amount in zip(unknown[::-1], rng.random(num_rows), strict=False)
            ],
        }
    )
    if text:
        frame = frame.with_columns(user_id=pl.format("u-{}", "user_id"), item_id=pl.format("item-{}", "item_id"))
    if dates:
        frame = frame.with_columns(pl.from_epoch("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"))
    return frame


def write_parts(folder: Path, frame: pl.DataFrame) -> Path:
    folder.mkdir()
    for place in range(3):
        frame.slice(place * 300, 300 if place < 2 else None).write_csv(folder / f"part-{place}.csv")
    return folder


def write_users(path: Path, *, text: bool = False) -> None:
    """Two of three users, in another order, and users without events; what is known of them is partly missing."""
    numbers = [number for number in range(USERS + 30, 0, -1) if number % 3]
    frame = pl.DataFrame({"id": numbers}).with_columns(
        gender=pl.when(pl.col("id") % 5 > 0).then(
            pl.when(pl.col("id") % 2 > 0).then(pl.lit("f")).otherwise(pl.lit("m"))
        ),
        region=pl.col("id") % 4 + (pl.col("id") > USERS).cast(pl.Int64) * 100,
        age=pl.when(pl.col("id") % 7 > 0).then(pl.col("id") * 0.5),
    )
    (frame.with_columns(id=pl.format("u-{}", "id")) if text else frame).write_csv(path)


INPUTS: dict[str, Any] = {"context": ("hour",), "event_features": ("kind",), "numbers": ("spent",)}


@pytest.mark.parametrize(
    ("of_rows", "settings"),
    [
        pytest.param({}, {}, id="numbers"),
        pytest.param({"text": True}, INPUTS, id="text-and-inputs"),
        pytest.param({"dates": True}, {"split_at": "2020-09-14", **INPUTS}, id="dates-split"),
        pytest.param({}, {"drop_repeats": True, "where": ("kind=v,b",)}, id="fewer-rows"),
        pytest.param({}, {"file_order": True}, id="file-order"),
        pytest.param({}, {"text_ids": True, "split_at": "1600050000"}, id="ids-as-text"),
    ],
)
@pytest.mark.usefixtures("small_pieces")
def test_prepared_data_is_the_dataset_of_its_table(
    of_rows: dict[str, bool], settings: dict[str, Any], tmp_path: Path
) -> None:
    table = write_parts(tmp_path / "table", rows(**of_rows))
    require_same_dataset(table, DataConfig(**settings), tmp_path / "data")


@pytest.mark.parametrize(
    ("of_rows", "settings"),
    [
        pytest.param({}, {"context": ("gender",), "numbers": ("age",)}, id="users-alone"),
        pytest.param({}, {"context": ("hour", "gender"), "numbers": ("age", "spent")}, id="beside-events"),
        pytest.param({"text": True}, {"context": ("region", "hour"), "drop_repeats": True}, id="text"),
        pytest.param({}, {"numbers": ("age",), "text_ids": True, "split_at": "1600050000"}, id="ids-as-text"),
        pytest.param({}, {"context": ("gender",), "min_count": 9}, id="of-fewer-users"),
    ],
)
@pytest.mark.usefixtures("small_pieces")
def test_columns_of_the_users_table_are_joined_as_from_the_table(
    of_rows: dict[str, bool], settings: dict[str, Any], tmp_path: Path
) -> None:
    table, users = write_parts(tmp_path / "table", rows(**of_rows)), tmp_path / "users.csv"
    write_users(users, **of_rows)
    require_same_dataset(table, DataConfig(**settings, users_key="id"), tmp_path / "data", users)


@pytest.mark.parametrize("least", [2, 5])
@pytest.mark.parametrize("drop_repeats", [False, True])
@pytest.mark.usefixtures("small_pieces")
def test_rare_users_and_items_are_left_out_again_and_again_as_from_the_table(
    least: int, drop_repeats: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    frame = rows().with_columns(item_id=pl.Series(np.minimum(rng.geometric(0.02, 900), 150)))
    # Users of one event of each of `least` items in a row: of each such item, the first loses the next one a user.
    chain = np.arange(12).repeat(least), (np.arange(12)[:, None] + np.arange(least)).ravel()
    links = frame.head(len(chain[0])).with_columns(user_id=pl.Series(chain[0] + 500), item_id=pl.Series(chain[1] + 500))
    table = write_parts(tmp_path / "table", pl.concat([frame, links]).sample(fraction=1, shuffle=True, seed=0))
    config = DataConfig(min_count=least, drop_repeats=drop_repeats, event_features=("kind",))
    dataset = require_same_dataset(table, config, tmp_path / "data")
    assert np.unique(dataset.sequences.items, return_counts=True)[1].min() >= least
    assert np.diff(dataset.sequences.offsets).min() >= least
    assert max(dataset.vocabularies.items.ids.to_list()) < 500


def require_same_dataset(table: Path, config: DataConfig, out: Path, users: Path | None = None) -> Dataset:
    """Prepare a table and compare the dataset with that of the table itself; return it."""
    times = not config.file_order
    wanted = Dataset.build(read_interactions(table, config, users, times=times))
    prepare([table], config, out, users)
    dataset = Dataset.of_prepared(open_prepared(out), times=times)
    assert len(dataset.sequences.shards) > 5
    for sequences, other in ((dataset.sequences, wanted.sequences), (dataset.split.test.sequences, wanted.sequences)):
        for name in ("items", "offsets", "context"):
            assert np.array_equal(getattr(sequences, name), getattr(other, name)), name
            assert getattr(sequences, name).dtype == getattr(other, name).dtype
        assert sequences.beside.keys() == other.beside.keys()
        for name, values in other.beside.items():
            assert np.array_equal(sequences.beside[name], values, equal_nan=name == "numbers"), name
    for part in ("validation", "test"):
        examples, others = dataset.split.targets[part], wanted.split.targets[part]
        assert np.array_equal(examples.users, others.users)
        assert np.array_equal(examples.targets, others.targets)
    assert np.array_equal(dataset.split.train_stops, wanted.split.train_stops)
    assert dataset.split.rule == wanted.split.rule
    assert dataset.vocabularies.to_dict() == wanted.vocabularies.to_dict()
    assert (dataset.facts, dataset.numbers, dataset.event_context) == (
        wanted.facts,
        wanted.numbers,
        wanted.event_context,
    )
    return dataset


@pytest.mark.usefixtures("small_pieces")
def test_training_from_prepared_data_ends_with_the_bytes_of_training_from_the_table(tmp_path: Path) -> None:
    table, users = write_parts(tmp_path / "table", rows(text=True)), tmp_path / "users.csv"
    write_users(users, text=True)
    data = DataConfig(**{**INPUTS, "context": ("hour", "gender")}, users_key="id", min_count=4)
    training = TrainConfig(epochs=2, batch_events=60, event_dropout=0.2, loss="full_softmax")
    model = TINY.model_copy(update={"event_times": "to_next"})
    settings = Settings(model=model, training=training, data=data)
    of_table = Dataset.build(read_interactions(table, data, users, times=True))
    train(of_table, settings, tmp_path / "of-table")
    prepare([table], data, tmp_path / "data", users)
    of_data = Dataset.of_prepared(open_prepared(tmp_path / "data"), times=True)
    train(of_data, settings, tmp_path / "of-data")
    same_but_for_speed(tmp_path / "of-table", tmp_path / "of-data")
    for name in ("config.json", "vocabulary.json", "heldout.safetensors", "test.safetensors"):
        assert (tmp_path / "of-table" / name).read_bytes() == (tmp_path / "of-data" / name).read_bytes(), name
    # What the one began, the other goes on with: the state holds both to the same data.
    train(of_data, settings, tmp_path / "of-table", resume=True)


def test_several_tables_are_read_one_after_another(tmp_path: Path) -> None:
    frame = rows()
    table = write_parts(tmp_path / "table", frame)
    paths = [table / "part-2.csv", table / "part-0.csv"]
    prepare(paths, DataConfig(file_order=True), tmp_path / "data")
    frame.slice(600, 300).vstack(frame.slice(0, 300)).write_csv(tmp_path / "joined.csv")
    wanted = Dataset.build(read_interactions(tmp_path / "joined.csv", DataConfig(file_order=True)))
    prepared = open_prepared(tmp_path / "data")
    assert np.array_equal(prepared.sequences(times=False).items, wanted.sequences.items)


def test_the_same_table_gives_the_same_bytes_whatever_the_size_of_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_parts(tmp_path / "table", rows())
    prepare([table], DataConfig(), tmp_path / "whole")
    monkeypatch.setattr("bst.data.prepared.sorting.PIECE_ROWS", 31)
    monkeypatch.setattr("bst.data.prepared.runs.SAMPLE", 4)
    prepare([table], DataConfig(), tmp_path / "pieces")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "pieces").iterdir())
    assert all((tmp_path / "whole" / name).read_bytes() == (tmp_path / "pieces" / name).read_bytes() for name in names)


def test_what_was_read_of_mapped_files_leaves_memory(tmp_path: Path) -> None:
    num_rows = 2_000_000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"user_id": np.arange(num_rows) // 40, "item_id": rng.integers(0, 99, num_rows)})
    frame.write_parquet(tmp_path / "table.parquet")
    prepare([tmp_path / "table.parquet"], DataConfig(file_order=True), tmp_path / "data")
    sequences = open_prepared(tmp_path / "data").sequences(times=False)

    def held() -> int:
        maps = Path("/proc/self/smaps").read_text().split("items.npy")[1]
        return int(maps.split("Rss:")[1].split()[0])

    assert int(sequences.items.sum()) > 0
    assert held() > 7000  # kB
    sequences.release()
    assert held() < 100
    assert sequences.items[-1] > 0


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PEAK, reason="peak memory is read from /proc")
def test_twenty_million_events_are_prepared_below_a_gigabyte_and_a_half(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "table").mkdir()
    for part in range(4):
        size = 5_000_000
        columns = {
            "user_id": rng.integers(0, 300_000, size),
            "item_id": rng.integers(0, 50_000, size),
            "timestamp": np.sort(rng.integers(part * 10**6, (part + 1) * 10**6, size)) + 1_600_000_000,
            "hour": rng.integers(0, 24, size),
            "spent": rng.random(size),
        }
        pl.DataFrame(columns).write_parquet(tmp_path / "table" / f"{part}.parquet")
    inputs = ("--context", "hour", "--numbers", "spent")
    _, peak = peak_of("prepare", tmp_path / "table", "--out", tmp_path / "data", *inputs)
    assert json.loads((tmp_path / "data" / "prepared.json").read_text())["num_events"] == 20_000_000
    assert peak < 1.5e9
