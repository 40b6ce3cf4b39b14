from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from bst import InputError
from bst.data.tables.columns import MISSING, categories, ids

PATH = Path("events.csv")


@pytest.mark.parametrize(
    "values",
    [
        ["24", "17850"],
        ["24.0", "17850.0"],
        ["24", "17850.00"],
        [24.0, 17850.0],
        [Decimal("24.00"), Decimal("17850.00")],
        pl.Series([24, 17850], dtype=pl.UInt16),
    ],
)
def test_whole_numbers_are_integers_however_they_are_written(values: list[object]) -> None:
    column = pl.Series("user", values)
    assert ids(column, PATH, text_ids=False).to_list() == [24, 17850]
    assert categories(column, PATH).to_list() == [24, 17850]


@pytest.mark.parametrize("values", [["1.5", "2.25"], [1.5, 2.25], ["2.0", "1.5"], ["1e-05", "0.5", ""]])
def test_fractions_are_refused_in_text_as_in_floats(values: list[object]) -> None:
    with pytest.raises(InputError, match=r"'price' holds fractions such as .*; cut it into categories first"):
        categories(pl.Series("price", values), PATH)


@pytest.mark.parametrize("values", [["1.5", "2.25"], [1.5, 2.25]])
def test_fractions_are_no_ids(values: list[object]) -> None:
    with pytest.raises(InputError, match=r"fractions such as 1\.5"):
        ids(pl.Series("item", values), PATH, text_ids=False)


@pytest.mark.parametrize("word", [*MISSING, "NULL", "None", "NaN", r"\N", " null "])
def test_a_word_for_a_missing_value_is_no_id(word: str) -> None:
    with pytest.raises(InputError, match="stands for a missing value; drop those rows, or rename"):
        ids(pl.Series("user", ["a", word, "b"]), PATH, text_ids=True)


def test_a_word_for_a_missing_value_is_unknown_among_numbers_and_a_category_with_a_warning_among_texts() -> None:
    with pytest.warns(UserWarning, match=r"'job' has 'none' in 1 rows, as a category of its own; .*, leave it empty"):
        found = categories(pl.Series("job", ["artist", "none", "", None]), PATH)
    assert found.to_list() == ["artist", "none", None, None]
    assert categories(pl.Series("age", ["5", "nan"]), PATH).to_list() == [5, None]
    assert categories(pl.Series("age", [5.0, float("nan")]), PATH).to_list() == [5, None]


def test_floats_that_have_lost_their_digits_are_no_ids() -> None:
    with pytest.raises(InputError, match="as a float, whose last digits are lost; write it as an integer or as text"):
        ids(pl.Series("item", [1e17, 2.0]), PATH, text_ids=False)


def test_ids_kept_as_text_stay_as_they_are_written() -> None:
    assert ids(pl.Series("item", ["007", "24.0"]), PATH, text_ids=True).to_list() == ["007", "24.0"]
    assert ids(pl.Series("item", [7, 24]), PATH, text_ids=True).to_list() == ["7", "24"]


def test_whole_numbers_among_text_are_one_id_however_they_are_written() -> None:
    column = pl.Series("user", ["1", "1.0", "x", "007", "1.0.0", "-3.00"])
    assert ids(column, PATH, text_ids=False, mixed=True).to_list() == ["1", "1", "x", "007", "1.0.0", "-3"]
