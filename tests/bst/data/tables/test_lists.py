"""Lists in cells: what is one, and what must not be taken for one."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions


def items(path: Path, cells: list[str], **beside: list[str]) -> list[object]:
    frame = pl.DataFrame({"user_id": list(range(len(cells))), "item_id": cells, **beside})
    frame.write_csv(path / "events.csv")
    return read_interactions(path / "events.csv", DataConfig()).events["item"].to_list()


@pytest.mark.parametrize("names", [["[HD] Heat (1995)", "[HD] Jumanji (1995)"], ["[4]", "[5]"], ["(x)", "(y)"]])
def test_a_name_in_brackets_is_one_item(tmp_path: Path, names: list[str]) -> None:
    assert items(tmp_path, names, timestamp=["1", "2"]) == names


@pytest.mark.parametrize(
    ("cells", "each"),
    [
        (["[4]", "[5, 6]"], [4, 5, 6]),
        (["[4]"] * 200 + ["[5, 6]"], [4] * 200 + [5, 6]),
        (["['[HD] Heat (1995)', 'Jumanji']", "[]"], ["[HD] Heat (1995)", "Jumanji"]),
        (["[Heat (1995), Jumanji (1995)]"], ["Heat (1995)", "Jumanji (1995)"]),
        (["(4, 5)", "(6,)"], [4, 5, 6]),
        (["['a' 'b'\n 'c']"], ["a", "b", "c"]),
        (["""["Children's", 'b']"""], ["Children's", "b"]),
    ],
)
def test_a_list_is_its_elements(tmp_path: Path, cells: list[str], each: list[object]) -> None:
    assert items(tmp_path, cells) == each


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["[[1, 2], [3, 4]]"], "lists of lists or pairs; write items and times as two lists"),
        (["((1, 2), (3, 4))"], "lists of lists or pairs"),
        (['[{"item": 1, "time": 2}, {"item": 3, "time": 4}]'], "lists of lists or pairs"),
        (["[1, 2]"] * 200 + ["[(1, 2)]"], "lists of lists or pairs"),
        (["[1, 2]"] * 200 + ["[1 2 ... 8 9]"], r"was cut by numpy \('...'\); write the lists with .tolist\(\)"),
        (
            ["[datetime.date(2019, 10, 1), datetime.date(2019, 10, 2)]"],
            "objects as Python shows them; write plain numbers",
        ),
        (["[np.int64(5), np.int64(6)]"], "objects as Python shows them; write plain numbers or text"),
        (["[1, 2]"] * 200 + ["7"], r"holds '7' among lists; write a list in each cell, \[\] where it is empty"),
        ([r"""['it\'s', 'b']"""], "with quotes within quotes; write the table as JSON lines or Parquet"),
    ],
)
def test_what_is_no_plain_list_is_refused(tmp_path: Path, cells: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        items(tmp_path, cells)


def test_a_list_as_a_context_feature_of_single_items_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text('user_id,item_id,timestamp,genres\n1,5,1,"[a, b]"\n')
    with pytest.raises(InputError, match="'genres' holds lists beside single items; an input is one value an event"):
        read_interactions(tmp_path / "events.csv", DataConfig(context=("genres",)))
