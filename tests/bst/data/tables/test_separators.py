from pathlib import Path

import pytest

from bst import InputError
from bst.data.tables.names import looks_like_data, names_columns, suggested_names
from bst.data.tables.sources.separators import find_separator, separator_named

PATH = Path("events.txt")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["user_id,item_id,timestamp", "1,5,2019-10-01 00:00:00 UTC"], ","),
        (["1,5,Mon Oct 01 2019", "1,6,Tue Oct 02 2019"], ","),  # blanks would give more fields
        (["1;5;3,5;9", "1;6;4,0;8"], ";"),  # as would decimal commas, were they looked at alone
        (['"a;b;c","d",1', '"e;f;g","h",2'], ","),
        (["1\ta b\t3", "1\tc d\t4"], "\t"),
        (["1::Toy Story (1995)::Animation|Comedy", "2::Heat (1995)::Action"], "::"),
        (["1|24|M|technician|85711", "2|53|F|other|94043"], "|"),
        (["1   5 3", "1 6    4"], " "),
        (["1 5 6 7", "2 6"], " "),
        (["user_id"], ","),
        (["user_id\titem_id", "1\t5\t3", "2\t6\t4"], "\t"),  # no line is as the first
    ],
)
def test_a_separator_gives_every_line_as_many_fields(lines: list[str], text: str) -> None:
    assert find_separator(lines, PATH, "say which").text == text


def test_two_separators_that_fit_equally_well_are_asked_for() -> None:
    with pytest.raises(
        InputError, match=r"events.txt: fields may be separated by commas or ';', 2 in each line; say which"
    ):
        find_separator(["1,5;3", "1,6;4"], PATH, "say which")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("tab", "\t"),
        (r"\t", "\t"),
        ("\t", "\t"),
        ("blank", " "),
        ("  ", " "),
        ("Semicolon", ";"),
        ("::", "::"),
        ("~", "~"),
    ],
)
def test_a_separator_has_names_and_stands_for_itself(said: str, text: str) -> None:
    assert separator_named(said).text == text


@pytest.mark.parametrize("said", ["", "x", "1", '"', "\n", "a,b"])
def test_what_may_be_part_of_a_field_separates_nothing(said: str) -> None:
    with pytest.raises(InputError, match=r"--separator .* separates nothing; give it as it is written, or comma, tab"):
        separator_named(said)


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["1", "5"], "user_id,item_id"),
        (["1", "5", "3"], "user_id,item_id,timestamp"),
        (["196", "242", "3", "881250949"], "user_id,item_id,rating,timestamp"),
        (["A1", "B1", "1397606400", "5.0"], "user_id,item_id,timestamp,rating"),
        (["1", "5", "2019-10-01", "3", "x"], "user_id,item_id,timestamp,rating,column_4"),
        (["420374", "2014-04-06T18:44:58.888Z", "214537888", "12462"], "user_id,timestamp,item_id,rating"),
    ],
)
def test_fields_of_data_are_given_names_with_the_time_where_it_is(cells: list[str], names: str) -> None:
    assert looks_like_data(cells)
    assert ",".join(suggested_names(cells)) == names


def test_numbers_that_pandas_gives_columns_are_no_data() -> None:
    assert not looks_like_data(["0", "1", "2"])
    assert looks_like_data(["0", "1", "3"])


def test_two_common_names_make_a_header() -> None:
    assert names_columns(["UserID", "movie id", "x"])
    assert not names_columns(["user", "dress", "3"])
