"""Event features, event times and numbers of tables: how they are read, indexed and cut into batches."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import DataConfig, Dataset, read_interactions
from bst.data.interactions import Interactions
from bst.data.windows import TrainingWindows
from bst.errors import InputError

START = 1_600_000_000
EVENTS = pl.DataFrame(
    {
        "user_id": [1, 1, 1, 1, 2, 2, 2, 3],
        "item_id": [10, 20, 10, 30, 30, 20, 10, 10],
        "timestamp": [START + time for time in (0, 60, 60, 500, 7, 8, 9, 3)],
        "kind": ["view", "buy", None, "view", "view", "view", "buy", "view"],
        "spent": [None, 2.5, float("nan"), 4.0, 1.0, float("inf"), 2.0, 1.0],
    }
)
USERS = pl.DataFrame({"user_id": [1, 2, 3], "age": ["41", "", "61"]})
ALL = DataConfig(event_features=("kind",), numbers=("age", "spent"))


def read(data: DataConfig = ALL, *, times: bool = True, events: pl.DataFrame = EVENTS) -> Interactions:
    return read_interactions(events, data, USERS, times=times)


def test_what_stands_beside_the_events_is_read_in_their_order() -> None:
    interactions = read(events=EVENTS.sort("timestamp", descending=True))
    assert interactions.values("kind").to_list() == ["view", "buy", None, "view", "view", "view", "buy", "view"]
    assert interactions.times is not None
    assert interactions.times.to_list() == [START + time for time in (0, 60, 60, 500, 7, 8, 9, 3)]
    assert interactions.values("spent").to_list() == [None, 2.5, None, 4.0, 1.0, None, 2.0, 1.0]
    assert interactions.values("age").to_list() == [41.0, None, 61.0]


def test_a_batch_holds_past_events_the_time_of_the_target_and_its_numbers() -> None:
    dataset = Dataset.build(read())
    batch = dataset.split.test.batch(slice(0, 2), 5)
    buy, view = 1, 2
    assert batch.beside["events"][..., 0].tolist() == [[view, buy, 0], [0, view, view]]
    assert batch.beside["event_time"].tolist() == [[START, START + 60, START + 60], [0, START + 7, START + 8]]
    assert batch.beside["request_time"].tolist() == [START + 500, START + 9]
    ages, spent = batch.beside["numbers"].T.tolist()
    assert ages[0] == 41
    assert math.isnan(ages[1])
    assert spent == [4, 2]


def test_a_window_of_training_ends_at_the_time_of_its_last_target() -> None:
    dataset = Dataset.build(read())
    windows = TrainingWindows(dataset.sequences, np.array([4, 7, 8]), 5)
    batch = windows.batch(np.array([0]), np.array([0]), np.array([3]))
    assert batch.targets.tolist() == [[2, 1, 3]]
    assert batch.beside["request_time"].tolist() == [START + 500]
    assert batch.beside["numbers"][0, :, 0].tolist() == [41, 41, 41]
    assert batch.beside["numbers"][0, 2, 1] == 4


def test_mean_and_deviation_are_those_of_the_training_events() -> None:
    age, spent = Dataset.build(read()).numbers
    assert age.mean == pytest.approx((41 + 41 + 61) / 3)
    assert (spent.mean, spent.deviation) == (1.5, pytest.approx(0.5**0.5))  # 2.5, 1, 1; not the held-out 4 and 2


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([START, START + 60], [START, START + 60]),
        ([START * 1000 + 999, START * 1000 + 60_000], [START, START + 60]),
        ([START + 0.75, START + 60.5], [START, START + 60]),
        (["2020-09-13T12:26:40Z", "2020-09-13T12:27:40Z"], [START, START + 60]),
        (["2020-09-13", "2020-09-14"], [START - 44_800, START + 41_600]),
    ],
    ids=["seconds", "milliseconds", "fractions", "text", "days"],
)
def test_times_become_seconds(values: list[object], seconds: list[int]) -> None:
    events = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": values})
    interactions = read_interactions(events, times=True)
    assert interactions.times is not None
    assert interactions.times.to_list() == seconds
    assert any("event times" in line for line in interactions.facts.lines())


def test_without_a_clock_there_are_no_event_times() -> None:
    ranks = EVENTS.with_columns(timestamp=pl.int_range(pl.len()))
    with pytest.raises(InputError, match="holds 0 to 7, which are no Unix times in seconds or parts of them"):
        read(events=ranks)
    with pytest.raises(InputError, match="has no times, only an order"):
        read_interactions(EVENTS, DataConfig(file_order=True), times=True)


def test_nobody_asks_for_a_clock_where_the_model_reads_none() -> None:
    assert read(times=False).times is None


def test_a_number_that_is_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp,spent\n1,2,3,4\n1,3,4,n/a\n1,4,5,a lot\n")
    with pytest.raises(InputError, match="column 'spent' holds 'a lot' in 1 rows, which is no number; name it with"):
        read_interactions(tmp_path / "events.csv", DataConfig(numbers=("spent",)))


def test_a_number_of_the_item_is_refused_as_one_of_the_request() -> None:
    events = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(20), 4),
            "item_id": np.arange(80) % 7,
            "timestamp": np.arange(80),
            "price": (np.arange(80) % 7) * 1.5,
        }
    )
    with pytest.raises(InputError, match=r"number price .* leave it out of --numbers, .* --item-numbers"):
        Dataset.build(read_interactions(events, DataConfig(numbers=("price",))))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_features": ("user_id",)}, "event feature 'user_id' is a column of the events themselves"),
        ({"event_features": ("kind",), "context": ("kind",)}, "input 'kind' is named twice"),
        ({"numbers": ("event_time",)}, "number 'event_time' cannot be the name of a model input"),
        ({"event_features": ("kind", "kind")}, "event feature 'kind' is named twice"),
    ],
)
def test_names_that_cannot_be_are_refused(config: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**config)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'device' for an input"):
        read_interactions(EVENTS, DataConfig(event_features=("device",)))


def test_values_that_a_trained_model_does_not_know_are_unknown() -> None:
    vocabularies = Dataset.build(read()).vocabularies
    others = EVENTS.with_columns(kind=pl.Series(["gift", "loan"] * 4))
    assert not Dataset.build(read(events=others), vocabularies).sequences.beside["events"].any()


def test_a_category_and_a_number_of_the_item_each_name_their_own_remedy() -> None:
    items = np.arange(80) % 7
    columns = {"user_id": np.repeat(np.arange(20), 4), "item_id": items, "timestamp": np.arange(80)}
    events = pl.DataFrame({**columns, "price": items * 1.5, "brand": items + 3})
    config = DataConfig(context=("brand",), numbers=("price",))
    with pytest.raises(InputError, match=r"feature brand .* --item-features; number price .* --item-numbers"):
        Dataset.build(read_interactions(events, config))


def test_dates_that_a_model_takes_for_unknown_are_counted() -> None:
    events = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": ["1969-05-01", "2020-09-14"]})
    lines = read_interactions(events, times=True).facts.lines()
    assert "event times are seconds of the dates; 1 of 1970 or before are not known to the model" in lines
