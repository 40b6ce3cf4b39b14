"""Claims about impression logs: histories, requests, the split by time, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst import DataConfig, Dataset, InputError, read_interactions
from bst.data.impressions import AT_ONCE, Impressions, ImpressionWindows
from bst.settings_file import read_settings

LOG = DataConfig(label="clicked")
SMALL = pl.DataFrame(
    {
        **{"user_id": [1, 1, 1, 1, 1, 1, 1, 1, 2], "item_id": [5, 6, 5, 7, 6, 7, 6, 5, 7]},
        **{"timestamp": [1, 1, 2, 2, 3, 3, 4, 4, 1], "clicked": [1, 0, 1, 0, 1, 0, 1, 0, 1]},
    }
)


def random_log(rows: int = 600) -> pl.DataFrame:
    """Requests of several impressions a time, some with two clicks; items and times repeat."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, 12, rows),
            "item_id": rng.integers(1, 9, rows),
            "timestamp": 1_600_000_000 + 3600 * rng.integers(0, 40, rows),
            "clicked": (rng.random(rows) < 0.4).astype(int),
            "device": rng.choice(["app", "web"], rows),
        }
    )


def parts_of(dataset: Dataset) -> list[Impressions]:
    parts = (dataset.split.requests, dataset.split.validation, dataset.split.test)
    return [part for part in parts if isinstance(part, Impressions)]


def every_impression(dataset: Dataset) -> Counter[tuple[Any, ...]]:
    """Count user, history, context, item and label of all impressions, by raw ids, as batches have them."""
    counts: Counter[tuple[Any, ...]] = Counter()
    items = dataset.vocabularies.items.ids
    for part in parts_of(dataset):
        batch = part.batch(slice(None), 100)
        assert batch.labels is not None
        columns = (part.users, batch.items, batch.context, batch.targets, batch.labels)
        for user, history, context, targets, labels in zip(*(column.tolist() for column in columns), strict=True):
            past = tuple(items[index - 1] for index in history if index)
            for target, label in zip(targets, labels, strict=True):
                counts[user, past, tuple(context), items[target - 1], label] += target > 0
    return +counts


@pytest.mark.parametrize("context", [(), ("device",)])
def test_the_history_of_each_impression_is_exactly_the_clicks_at_earlier_times(context: tuple[str, ...]) -> None:
    log = random_log()
    dataset = Dataset.build(read_interactions(log, LOG.model_copy(update={"context": context})))
    users = sorted(log["user_id"].unique())
    expected: Counter[tuple[Any, ...]] = Counter()
    for user, item, time, clicked, device in log.rows():
        past = log.filter(pl.col("user_id") == user, pl.col("clicked") == 1, pl.col("timestamp") < time)
        history = tuple(past.sort("timestamp", "item_id")["item_id"])
        values = (1 if device == "app" else 2,) if context else ()
        expected[users.index(user), history, values, item, float(clicked)] += 1
    assert any(history == () for _, history, *_ in expected)  # the first impressions of a user count too
    assert every_impression(dataset) == expected


def test_clicks_of_one_request_do_not_see_one_another() -> None:
    dataset = Dataset.build(read_interactions(SMALL, LOG))
    assert every_impression(dataset)[0, (), (), 5, 1.0] == 1
    assert every_impression(dataset)[0, (), (), 6, 0.0] == 1


def test_impressions_with_the_same_history_and_inputs_are_one_row_of_at_most_so_many() -> None:
    shown = AT_ONCE + 3
    first = {"user_id": [3] * shown, "item_id": list(range(shown)), "timestamp": [1] * shown, "clicked": [0] * shown}
    dataset = Dataset.build(read_interactions(pl.concat([SMALL, pl.DataFrame(first)]), LOG))
    training = parts_of(dataset)[0]
    assert training.counts[training.users == 2].tolist() == [AT_ONCE, 3]


def test_shuffling_the_rows_of_a_log_changes_nothing() -> None:
    config = LOG.model_copy(update={"context": ("device",), "event_features": ("kind",), "numbers": ("age",)})
    log = random_log().with_columns(
        kind=pl.col("item_id") % 3, age=pl.when(pl.col("user_id") > 3).then(pl.col("timestamp") / 1e9)
    )
    datasets = [
        Dataset.build(read_interactions(table, config, times=True))
        for table in (log, log.sample(fraction=1, shuffle=True, seed=1))
    ]
    for ours, others in zip(*map(parts_of, datasets), strict=True):
        histories = [part.sequences for part in (ours, others)]
        for one_array, other in zip(ours.arrays, others.arrays, strict=True):
            np.testing.assert_array_equal(one_array, other)
        for name in ("items", "offsets"):
            np.testing.assert_array_equal(*(getattr(history, name) for history in histories))
        np.testing.assert_array_equal(*(history.beside["events"] for history in histories))
    assert datasets[0].numbers == datasets[1].numbers


@pytest.mark.parametrize("split_at", [None, "2020-09-14 06:00:00"])
def test_training_validation_and_test_are_apart_in_time(split_at: str | None) -> None:
    log = random_log().with_columns(pl.from_epoch("timestamp"))
    dataset = Dataset.build(read_interactions(log, LOG.model_copy(update={"split_at": split_at}), times=True))
    training, validation, test = (part.beside["request_time"] for part in parts_of(dataset))
    assert training.max() < validation.min() <= validation.max() < test.min()
    sizes = [len(part.shown) for part in parts_of(dataset)]
    if split_at is None:
        assert sizes[2] == pytest.approx(60, abs=20)
    else:
        assert test.min() >= 1_600_063_200 > validation.max()
    assert sum(sizes) == 600
    trained_clicks = sum(dataset.split.train_stops - dataset.sequences.offsets[:-1])
    assert trained_clicks == parts_of(dataset)[0].clicked.sum()


def test_an_epoch_trains_every_impression_of_the_training_part_once() -> None:
    dataset = Dataset.build(read_interactions(random_log(), LOG))
    windows = dataset.windows(5)
    assert isinstance(windows, ImpressionWindows)
    batches = windows.epoch(np.random.default_rng(0), 30)
    counts = [int((windows.batch(*rows).targets > 0).sum()) for rows in batches]
    assert len(counts) > 5
    assert sum(counts) == windows.num_examples == len(parts_of(dataset)[0].shown)
    assert sorted(np.concatenate([rows for (rows,) in batches])) == list(range(len(windows.requests)))


def test_a_subset_holds_all_requests_of_so_many_users() -> None:
    test = parts_of(Dataset.build(read_interactions(random_log(), LOG)))[2]
    some = test.subset(3, seed=0)
    assert len(np.unique(some.users)) == 3
    assert len(some.shown) == np.isin(test.users_of_shown, some.users).sum()
    assert test.subset(10_000, seed=0) is test


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 0, 1, 2, 0, 2, 0, 1, 1], "column 'clicked' holds '2' in 2 rows, which is no label"),
        (["1", "0", "1", "yes", "0", "1", "0", "1", "1"], "column 'clicked' holds 'yes' in 1 rows, which is no label"),
        ([1.0, 0.0, 0.5, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], r"column 'clicked' holds '0\.5' in 1 rows, which is no label"),
        ([1, 0, None, 1, 0, 1, None, 1, 1], "column 'clicked' has no label in 2 rows, first in row 2"),
        ([1] * 9, "all 9 labels of column 'clicked' are 1, a log without negatives"),
        ([0] * 9, "all 9 labels of column 'clicked' are 0, a log without clicks"),
    ],
)
def test_labels_other_than_0_and_1_and_logs_of_one_label_are_refused(labels: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_interactions(SMALL.with_columns(clicked=pl.Series(labels, strict=False)), LOG)


@pytest.mark.parametrize("kind", [pl.Boolean, pl.Float64, pl.String])
def test_labels_may_be_booleans_decimals_or_text(kind: type[pl.DataType]) -> None:
    table = SMALL.with_columns(pl.col("clicked").cast(pl.Boolean).cast(kind))
    expected, actual = (read_interactions(log, LOG).labels for log in (SMALL, table))
    assert expected is not None
    assert actual is not None
    assert actual.clicked.tolist() == expected.clicked.tolist()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('item_column = "clicked"', "label 'clicked' is the column of users, items or times"),
        ('context = ["clicked"]', "context feature 'clicked' is the label, which is to be predicted; leave it out"),
        ('numbers = ["clicked"]', "number 'clicked' is the label"),
        ("file_order = true", "--file-order takes no times from the table"),
        ("ragged = true", "--ragged takes no times from the table"),
        ("drop_repeats = true", "--drop-repeats leaves out repeats of events"),
    ],
)
def test_settings_that_contradict_a_label_are_refused(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "train.toml").write_text(f'[data]\nlabel = "clicked"\n{setting}\n')
    with pytest.raises(InputError, match=message):
        read_settings(tmp_path / "train.toml")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (pl.col("timestamp") == 1, {}, "1 different times, 1 of them before the test"),
        (True, {"split_at": "2"}, "4 different times, 1 of them before the test"),
        (True, {"split_at": "9"}, "4 different times, 4 of them before the test"),
        (
            (pl.col("timestamp") != 3) | (pl.col("clicked") == 1),
            {"split_at": "4"},
            "validation part of the log has 1 clicks among 1 impressions, and no user with both labels .trained on "
            "before 3, validated before 4, then tested",
        ),
        (
            (pl.col("timestamp") == 4) | (pl.col("clicked") == 0),
            {},
            "training part of the log has 0 clicks among 2 impressions",
        ),
        (True, {"label": "label"}, "has no column 'label' of labels; it has user_id, item_id, timestamp, clicked"),
    ],
)
def test_a_log_that_cannot_be_split_is_refused(rows: pl.Expr, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset.build(read_interactions(SMALL.filter(rows), LOG.model_copy(update=options)))
