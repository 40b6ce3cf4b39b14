from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions
from bst.data.tables.selection import frequent

KINDS = (
    "user_id,item_id,timestamp,event,ok,note\n1,5,1,view,true,\n1,6,2,buy,false,x\n1,7,3,cart,true,\n1,8,4,view,,y\n"
)
TYPED = pl.DataFrame(
    {
        "user_id": [1, 1, 1],
        "item_id": [5, 6, 7],
        "timestamp": [1, 2, 3],
        "rating": [4.0, 5.0, 4.5],
        "ok": [True, False, None],
        "day": [date(2019, 10, 1), date(2019, 10, 1), date(2019, 10, 2)],
        "at": [datetime(2019, 10, 1, 8), datetime(2019, 10, 1, 9), datetime(2019, 10, 1, 9)],
    }
)


def items(path: Path, *where: str) -> list[int]:
    return read_interactions(path, DataConfig(where=where)).events["item"].to_list()


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (("event=buy",), [6]),
        (("event = buy, cart",), [6, 7]),
        (("event=view", "ok=true"), [5]),
        (("note=",), [5, 7]),
        (('event="buy"',), [6]),
        (("item_id=5,8",), [5, 8]),
        (("",), [5, 6, 7, 8]),
    ],
)
def test_conditions_on_text_hold_together(tmp_path: Path, where: tuple[str, ...], kept: list[int]) -> None:
    (tmp_path / "events.csv").write_text(KINDS)
    assert items(tmp_path / "events.csv", *where) == kept


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("rating=4", [5]),
        ("rating=4.5,5.0", [6, 7]),
        ("ok=True", [5]),
        ("ok=false", [6]),
        ("ok=", [7]),
        ("day=2019-10-01", [5, 6]),
        ("at=2019-10-01 09:00:00", [6, 7]),
        ("at=2019-10-01", [5, 6, 7]),
    ],
)
def test_conditions_know_the_types_of_parquet(tmp_path: Path, where: str, kept: list[int]) -> None:
    TYPED.write_parquet(tmp_path / "events.parquet")
    assert items(tmp_path / "events.parquet", where) == kept


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (("event=sale",), "no row has 'sale' in column 'event'; it has 'view', 'buy', 'cart'"),
        (("event=buy", "ok=true"), "none of its 4 rows has all of --where event=buy --where ok=true"),
        (("kind=buy",), "no column 'kind' for --where; it has user_id, item_id, timestamp, event, ok, note"),
        (("event",), "--where 'event' is no condition; such as event_type=purchase"),
        (("=buy",), "--where '=buy' is no condition"),
    ],
)
def test_conditions_that_keep_nothing_are_refused(tmp_path: Path, where: tuple[str, ...], message: str) -> None:
    (tmp_path / "events.csv").write_text(KINDS)
    with pytest.raises(InputError, match=message):
        items(tmp_path / "events.csv", *where)


def test_of_many_values_ten_are_listed(tmp_path: Path) -> None:
    rows = "".join(f"1,{number},{number},k{number:02}\n" for number in range(12))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,timestamp,kind\n{rows}")
    with pytest.raises(InputError, match=r"'k08', 'k09', \.\.\.$"):
        items(tmp_path / "events.csv", "kind=x")


def test_rare_users_and_items_go_again_and_again() -> None:
    # Without item 9, user 3 has one event; without user 3, item 8 has one; without that, user 2 has one.
    events = pl.DataFrame(
        {"user": [1, 1, 4, 4, 2, 2, 3, 3], "item": [5, 6, 5, 6, 5, 8, 8, 9]},
        schema={"user": pl.Int64, "item": pl.Int64},
    )
    stays, said = frequent(events, 2, Path("events.csv"))
    assert events.filter(stays).rows() == [(1, 5), (1, 6), (4, 5), (4, 6)]
    assert said == "--min-count 2 keeps 4 events, 2 users, 2 items, of 8 events, 4 users, 4 items"


def test_repeats_go_before_rare_items(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n1,5,1\n1,5,2\n1,6,3\n2,6,1\n2,6,2\n2,7,3\n")
    data = DataConfig(drop_repeats=True, min_count=2)
    with pytest.raises(InputError, match="--min-count 2 leaves none of 4 events, 2 users, 3 items"):
        read_interactions(tmp_path / "events.csv", data)


def test_large_integers_are_compared_exactly(tmp_path: Path) -> None:
    users = [2**53, 2**53 + 1, 4, 4]
    frame = pl.DataFrame({"user_id": users, "item_id": [5, 6, 7, 8], "timestamp": [1, 2, 3, 4]})
    frame.write_parquet(tmp_path / "events.parquet")
    assert items(tmp_path / "events.parquet", f"user_id={2**53 + 1}") == [6]
    assert items(tmp_path / "events.parquet", "user_id=4.0") == [7, 8]
    with pytest.raises(InputError, match="no row has '1000000000000000000000000000000000000000000' in column"):
        items(tmp_path / "events.parquet", f"user_id={10**42}")
