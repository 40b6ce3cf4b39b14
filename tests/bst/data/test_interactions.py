import gzip
from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions

EVENTS = "user_id,item_id,timestamp\n2,30,5\n1,10,9\n1,20,3\n2,10,5\n1,30,3\n"


def write(path: Path, content: str = EVENTS) -> Path:
    path.write_text(content)
    return path


def test_events_come_by_user_and_time_and_ties_keep_the_order_of_the_file(tmp_path: Path) -> None:
    events = read_interactions(write(tmp_path / "events.csv"), DataConfig()).events
    assert events.rows() == [(1, 20), (1, 30), (1, 10), (2, 30), (2, 10)]


@pytest.mark.parametrize("form", ["csv", "tsv", "csv.gz", "parquet"])
def test_every_kind_of_table_gives_the_same_events(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"events.{form}"
    frame = pl.read_csv(write(tmp_path / "plain.csv"))
    if form == "parquet":
        frame.write_parquet(path)
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(EVENTS.encode()))
    else:
        frame.write_csv(path, separator="\t" if form == "tsv" else ",")
    assert read_interactions(path, DataConfig()).events.rows() == [(1, 20), (1, 30), (1, 10), (2, 30), (2, 10)]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", "who,what,when\n1,a,2\n1,b,1\n")
    config = DataConfig(user_column="who", item_column="what", time_column="when")
    assert read_interactions(path, config).events["item"].to_list() == ["b", "a"]


def test_dates_are_times(tmp_path: Path) -> None:
    path = write(
        tmp_path / "events.csv", "user_id,item_id,timestamp\n1,10,2024-02-01 10:00:00\n1,20,2023-12-31 09:00:00\n"
    )
    assert read_interactions(path, DataConfig()).events["item"].to_list() == [20, 10]


def test_context_comes_from_the_users_and_from_the_events(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv", "user_id,item_id,timestamp,shop\n2,3,1,x\n1,3,1,y\n1,3,2,x\n")
    users = write(tmp_path / "users.csv", "user_id,age\n1,18+\n3,5\n4,7\n2,\n")
    with pytest.warns(UserWarning, match="'age' has the single value '18\\+'"):
        found = read_interactions(events, DataConfig(context=("shop", "age")), users)
    assert found.values("shop").to_list() == ["y", "x", "x"]
    assert found.values("age").to_list() == ["18+", None]


def test_a_user_who_is_not_in_the_users_table_has_an_unknown_context(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv")
    users = write(tmp_path / "users.csv", "user_id,age\n2,30\n5,40\n")
    with pytest.warns(UserWarning, match="'age' has the single value 30"):
        found = read_interactions(events, DataConfig(context=("age",)), users)
    assert found.values("age").to_list() == [None, 30]


def test_a_feature_with_a_single_value_is_a_warning(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv", "user_id,item_id,timestamp,shop\n2,3,1,x\n1,4,1,x\n")
    with pytest.warns(UserWarning, match="'shop' has the single value 'x'"):
        read_interactions(events, DataConfig(context=("shop",)))


def test_ids_that_mix_numbers_and_text_can_be_kept_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", "user_id,item_id,timestamp\n1,0012,1\n1,B7,2\n")
    assert read_interactions(path, DataConfig(text_ids=True)).events["item"].to_list() == ["0012", "B7"]


HEADER = "user_id,item_id,timestamp\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEADER, "no rows below its header"),
        ("user_id,timestamp\n1,2\n", "no column 'item_id'; it has user_id, timestamp"),
        (HEADER + "1,10,1\n1,B7,2\n", "mixes numbers and text, such as '10' and 'B7'.*--text-ids"),
        (HEADER + "1,007,1\n1,008,2\n", "holds '007', which may be a number or text.*--text-ids"),
        (HEADER + "1,99999999999999999999,1\n", "beyond 64 bits"),
        (HEADER + "1,,1\n1,3,2\n", "'item_id' is empty in 1 rows, first in row 0"),
        (HEADER + "1,3,NaN\n1,4,1.5\n", r"'timestamp' has no time \(empty or NaN\) in 1 rows"),
        (HEADER + "1,3,\n1,4,1\n", "'timestamp' has no time"),
        (
            HEADER + "1,3,soon\n1,4,later\n",
            "'timestamp' holds 'soon'; times must be numbers, dates that begin with the year",
        ),
        (HEADER + "1,3\n1,4,5,6\n", "line 2 has 2 fields, the header 3; fix it"),
    ],
)
def test_bad_tables_are_refused_with_the_value(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_interactions(write(tmp_path / "events.csv", content), DataConfig())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("user_id,age\n1,2\n1,3\n", "user 1 stands there more than once"),
        ("user_id,age\na,2\nb,3\n", "none of its users, such as 'a', is a user of the events, such as 1"),
        ("id,age\n1,2\n", "has no column 'user_id' of users; it has id, age; say --users-key id"),
        ("user_id,age\n7,2\n1,\n", "'age' has no value for any user"),
        ("user_id,height\n1,2\n", r"no column 'age' for an input.*user_id, height"),
    ],
)
def test_a_bad_users_table_is_refused(tmp_path: Path, users: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_interactions(write(tmp_path / "e.csv"), DataConfig(context=("age",)), write(tmp_path / "u.csv", users))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        read_interactions(tmp_path / "events.csv", DataConfig())


def test_fractions_are_no_categories(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [1, 2], "price": [1.5, 2.5]})
    frame.write_parquet(tmp_path / "events.parquet")
    with pytest.raises(InputError, match=r"'price' holds fractions such as 1.5"):
        read_interactions(tmp_path / "events.parquet", DataConfig(context=("price",)))


@pytest.mark.parametrize("time", ["18446744073709551615", "99999999999999999999"])
def test_times_beyond_64_bits_are_still_in_order(tmp_path: Path, time: str) -> None:
    path = write(tmp_path / "events.csv", f"user_id,item_id,timestamp\n1,10,{time}\n1,20,5\n")
    assert read_interactions(path, DataConfig()).events["item"].to_list() == [20, 10]


def test_the_file_that_is_named_is_read_and_no_other(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", "user_id,item_id,timestamp\n1,99,1\n")
    path = write(tmp_path / "[x].csv")
    assert 99 not in read_interactions(path, DataConfig()).events["item"]


def test_a_column_may_have_the_name_that_polars_would_make_up(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,item_id_duplicated_0,timestamp\n1,5,6,1\n1,6,7,2\n")
    assert read_interactions(path, DataConfig()).events["item"].to_list() == [5, 6]


def test_users_are_compared_as_text_where_one_table_has_them_as_numbers(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv", HEADER + "1,10,1\n2,20,1\n1,20,2\n")
    users = write(tmp_path / "users.csv", "id,age\n2,30\n1,40\nguest,50\n")
    found = read_interactions(events, DataConfig(context=("age",), users_key="id"), users)
    assert found.users.rows() == [(1, 40), (2, 30)]


def test_a_users_table_without_a_header_is_named_by_its_fields(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv")
    users = write(tmp_path / "users.dat", "1::F::30\n2::M::40\n")
    data = DataConfig(context=("gender",))
    with pytest.raises(
        InputError, match=r"users\.dat has no column 'user_id' .* say --users-columns user_id,column_2,"
    ):
        read_interactions(events, data, users)
    named = data.model_copy(update={"users_columns": ("user_id", "gender", "age")})
    found = read_interactions(events, named, users)
    assert found.values("gender").to_list() == ["F", "M"]
    assert found.facts.remarks == (f"2 of 2 users stand in {users}", f"{users}: fields are separated by '::'")


def test_events_and_users_with_nobody_in_common_are_refused(tmp_path: Path) -> None:
    users = write(tmp_path / "users.csv", "user_id,age\nanna,30\nben,40\n")
    with pytest.raises(InputError, match="none of its users, such as 'anna', is a user of the events, such as 1"):
        read_interactions(write(tmp_path / "events.csv"), DataConfig(context=("age",)), users)


def test_all_that_is_wrong_comes_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", "user,item_id,timestamp,price\n1,5,soon,1.5\n1,x5,2,2.5\n")
    with pytest.raises(InputError) as raised:
        read_interactions(path, DataConfig(context=("price", "shop")))
    message = str(raised.value)
    assert message.startswith(
        f"{path}: 5 problems: (1) has no column 'user_id'; it has user, item_id, timestamp, price; "
    )
    assert message.count(str(path)) == 2  # what the tables have, for the context feature that is not there
    for number, words in enumerate(("--user-column user", "'shop'", "'x5'", "'soon'", "fractions such as 1.5"), 1):
        assert words in message.split(f"({number}) ")[1].split(f"; ({number + 1}) ")[0]


def test_times_of_lists_decide_and_otherwise_their_order(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": [[1, 2, 3], []], "timestamp": [[3, 1, 2], []]})
    frame.write_parquet(tmp_path / "timed.parquet")
    frame.drop("timestamp").write_parquet(tmp_path / "plain.parquet")
    timed, plain = (read_interactions(tmp_path / f"{name}.parquet", DataConfig()) for name in ("timed", "plain"))
    assert timed.events["item"].to_list() == [2, 3, 1]
    assert plain.events["item"].to_list() == [1, 2, 3]
    assert timed.facts.remarks == (
        "3 events come out of 2 rows with lists in 'item_id', 'timestamp'; left out, for an empty one: 1",
    )
    assert "the order in the lists is taken for that of time" in plain.facts.remarks[-1]


def test_a_basket_shares_its_time_and_its_context(tmp_path: Path) -> None:
    path = write(
        tmp_path / "events.jsonl",
        '{"user_id": 1, "item_id": [7, 8], "timestamp": 2, "shop": "n"}\n'
        '{"user_id": 1, "item_id": [5], "timestamp": 1, "shop": "s"}\n',
    )
    found = read_interactions(path, DataConfig(context=("shop",)))
    assert found.events.rows() == [(1, 5, "s"), (1, 7, "n"), (1, 8, "n")]


def test_parts_are_read_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"part-{number}.csv", f"user_id,item_id\n1,{number}\n")
    found = read_interactions(tmp_path, DataConfig(file_order=True))
    assert found.events["item"].to_list() == [1, 9, 10]
    assert found.facts.span == "in the order of the file"


def test_a_row_that_is_short_in_a_column_that_is_not_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", "rating,user_id,item_id,timestamp,note\n3,1,10,1,\n1,20,2,x\n")
    with pytest.raises(InputError, match="line 3 has 4 fields, the header 5; fix it"):
        read_interactions(path, DataConfig())


def test_a_last_field_that_is_empty_is_no_short_row(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", 'user_id,item_id,timestamp,note\n1,10,1,\n1,20,2,"a\nb"\n1,30,3,\n')
    assert read_interactions(path, DataConfig()).events["item"].to_list() == [10, 20, 30]


def test_users_that_are_floats_among_text_are_found_in_their_table_and_counted(tmp_path: Path) -> None:
    events = write(tmp_path / "events.csv", "user_id,item_id,timestamp\n1.0,5,1\n1,6,2\n2.0,5,1\nx,5,1\ny,5,1\n")
    users = write(tmp_path / "users.csv", "user_id,gender\n1,m\n2.0,f\nx,m\nz,f\n")
    read = read_interactions(events, DataConfig(context=("gender",)), users)
    assert dict(zip(read.users["user"], read.values("gender"), strict=True)) == {
        **{"1": "m", "2": "f", "x": "m"},
        "y": None,
    }
    assert f"3 of 4 users stand in {users}" in read.facts.remarks
