"""DataFrames of polars, pandas and Arrow are read as the same table in a file is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions

EVENTS = pl.DataFrame(
    {
        "user_id": [2, 1, 1, 2, 1],
        "item_id": ["d", "b", "c", "b", "d"],
        "timestamp": [datetime(2024, 1, day, tzinfo=UTC) for day in (5, 9, 3, 5, 3)],
        "shop": ["x", None, "y", "x", "x"],
        "payload": [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}, {"a": 5}],  # no column that is asked for
    }
)
USERS = pl.DataFrame({"user_id": [1, 2, 3], "age": [30, 40, 50]})
SHOP = DataConfig(context=("shop", "age"))


def pandas_of(frame: pl.DataFrame) -> Any:
    return pytest.importorskip("pandas").DataFrame(frame.to_dict(as_series=False))


def arrow_of(frame: pl.DataFrame) -> Any:
    pytest.importorskip("pyarrow")
    return frame.to_arrow()


@pytest.mark.parametrize("made_by", [pl.DataFrame, pl.DataFrame.lazy, pandas_of, arrow_of])
def test_a_dataframe_is_read_as_its_file_is(made_by: Any, tmp_path: Path) -> None:
    EVENTS.write_parquet(tmp_path / "events.parquet")
    USERS.write_csv(tmp_path / "users.csv")
    filed = read_interactions(str(tmp_path / "events.parquet"), SHOP, str(tmp_path / "users.csv"))
    held = read_interactions(made_by(EVENTS), SHOP, made_by(USERS))
    assert held.events.equals(filed.events)
    assert held.users.equals(filed.users)
    assert held.facts.span == filed.facts.span
    assert held.events["item"].to_list() == ["c", "d", "b", "d", "b"]
    assert held.facts.remarks == ("2 of 2 users stand in the DataFrame of users",)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
def test_times_of_pandas_keep_their_order_in_every_unit_and_zone(unit: str, zone: str | None) -> None:
    pandas = pytest.importorskip("pandas")
    times = pandas.to_datetime(["2024-01-02 00:30", "2024-01-01 23:30", "2024-01-01 22:30"]).as_unit(unit)
    frame = pandas.DataFrame({"user_id": 1, "item_id": [3, 2, 1], "timestamp": times.tz_localize(zone)})
    assert read_interactions(frame).events["item"].to_list() == [1, 2, 3]


def test_numbers_of_pandas_that_may_be_missing_are_numbers_where_none_is() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user_id": [1, 1], "item_id": [2**60 + 1, 5], "timestamp": [1.5, 0.5]})
    frame["user_id"], frame["item_id"] = frame["user_id"].astype("category"), frame["item_id"].astype("Int64")
    assert read_interactions(frame).events.rows() == [(1, 5), (1, 2**60 + 1)]
    frame.loc[0, "item_id"] = None
    with pytest.raises(InputError, match=r"^the DataFrame of events: column 'item_id' is empty in 1 rows"):
        read_interactions(frame)


def test_lists_of_a_user_in_a_row_are_events() -> None:
    pandas = pytest.importorskip("pandas")
    rows = {"user_id": [1, 2], "item_id": [[5, 6, 7], [6]]}
    for frame in (pl.DataFrame(rows), pandas.DataFrame(rows)):
        assert read_interactions(frame).events.rows() == [(1, 5), (1, 6), (1, 7), (2, 6)]


def test_a_level_of_the_index_that_has_a_name_is_a_column() -> None:
    pytest.importorskip("pandas")
    frame = pandas_of(EVENTS).set_index(["user_id", "timestamp"])
    assert read_interactions(frame).events.equals(read_interactions(EVENTS).events)
    frame["user_id"] = 7
    assert read_interactions(frame).events["user"].unique().to_list() == [7]


def test_what_is_wrong_with_a_dataframe_is_named_as_in_a_file() -> None:
    with pytest.raises(InputError, match=r"the DataFrame of events has no column 'item_id'; it has user_id, what, "):
        read_interactions(EVENTS.rename({"item_id": "what"}))
    with pytest.raises(InputError, match=r"the DataFrame of users has no column 'user_id' of users; it has age"):
        read_interactions(EVENTS, DataConfig(context=("age",)), USERS.drop("user_id"))
    with pytest.raises(InputError, match=r"the DataFrame of events has more than one column 'item_id'"):
        read_interactions(pandas_of(EVENTS).set_axis(["user_id", "item_id", "timestamp", "item_id", "x"], axis=1))


def test_values_of_several_types_are_refused_with_what_makes_them_one() -> None:
    frame = pandas_of(EVENTS)
    frame["item_id"] = [1, "b", 2, "c", 3]
    with pytest.raises(InputError, match=r"'item_id' holds values of several types \(int, str\).*\.astype\(str\)"):
        read_interactions(frame)
    frame["item_id"] = frame["item_id"].astype(str)
    assert read_interactions(frame, DataConfig(text_ids=True)).events["item"].to_list() == ["2", "3", "b", "1", "c"]


@pytest.mark.parametrize("other", [[(1, 2, 3)], {"user_id": [1]}, 5])
def test_what_is_no_dataframe_is_refused(other: Any) -> None:
    with pytest.raises(InputError, match=r"is a (list|dict|int); give a path, or a DataFrame of polars or pandas"):
        read_interactions(other)


def test_an_option_for_texts_is_noted_beside_a_dataframe() -> None:
    remarks = read_interactions(EVENTS, DataConfig(separator=";")).facts.remarks
    assert remarks == ("columns have names in a DataFrame: --separator, --columns and --no-header are not used",)
    with pytest.raises(InputError, match="is a DataFrame, and --ragged is for lines of text"):
        read_interactions(EVENTS, DataConfig(ragged=True))
