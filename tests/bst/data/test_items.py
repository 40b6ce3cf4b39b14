"""Names of items: read from a table of other people, and carried by the vocabulary."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, Vocabulary
from bst.data.items import named

ITEMS = Vocabulary(pl.Series("id", [11, 18, 25]))
TEXTS = Vocabulary(pl.Series("id", ["11", "a", "b"]))
CONFIG = DataConfig(name_column="name")
KEYED = DataConfig(items_key="id", name_column="title")
WITHOUT_HEADER = DataConfig(items_columns=("item_id", "name", "genres"), name_column="name")


def write(folder: Path, content: str) -> Path:
    path = folder / "items.csv"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "config", "names"),
    [
        ("item_id,name\n25,Milk\n11,Bananas\n99,Beer\n", CONFIG, ["Bananas", None, "Milk"]),
        ("item_id;price;name\n11;1,5;Bananas\n18;2;\n", CONFIG, ["Bananas", None, None]),
        ("id,title\n11,Toy Story (1995)\n", KEYED, ["Toy Story (1995)", None, None]),
        ("11::Heat (1995)::Action\n25::Jumanji::Children's\n", WITHOUT_HEADER, ["Heat (1995)", None, "Jumanji"]),
        ("item_id,name\n11.0,Bananas\nx9,Beer\n25,Milk\n", CONFIG, ["Bananas", None, "Milk"]),
        ("item_id,name\n11,Bananas\n11,Bananas\n18, Milk \n", CONFIG, ["Bananas", "Milk", None]),
    ],
)
def test_names_stand_in_the_order_of_the_ids(
    content: str, config: DataConfig, names: list[str | None], tmp_path: Path
) -> None:
    vocabulary, remarks = named(ITEMS, write(tmp_path, content), config)
    assert vocabulary.names is not None
    assert vocabulary.names.to_list() == names
    assert [vocabulary.name(one) for one in (11, 18, 25, 99)] == [*names, None]
    known = sum(name is not None for name in names)
    assert remarks[0] == f"items.csv: {known} of 3 items have a name"


def test_ids_that_look_like_numbers_are_text_where_the_events_have_text(tmp_path: Path) -> None:
    vocabulary, _ = named(TEXTS, write(tmp_path, "item_id,name\n11,Bananas\n"), CONFIG)
    assert vocabulary.name("11") == "Bananas"


@pytest.mark.parametrize(
    ("content", "config", "message"),
    [
        ("item_id,name\n11,Milk\n", DataConfig(), "needs --name-column, the column of the names"),
        ("product_id,name\n11,Milk\n", CONFIG, "no column 'item_id' of items; .*; say --items-key product_id"),
        ("item_id,title\n11,Milk\n", CONFIG, "no column 'name' of names; it has item_id, title; give another"),
        ("item_id,name\n", CONFIG, "holds no rows below its header; give a table with at least one item"),
        ("item_id,name\n99,Beer\n", CONFIG, "none of its items, such as 99, is an item of the events, such as 11"),
        ("item_id,name\na,Beer\n", CONFIG, "none of its items, such as 'a', is an item of the events, such as 11"),
        ("item_id,name\n11,Milk\n11,Beer\n", CONFIG, "item 11 is called 'Milk' and 'Beer'; keep one row an item"),
        ("item_id,name\n,Milk\n", CONFIG, "column 'item_id' is empty in 1 rows"),
    ],
)
def test_a_table_that_names_no_items_is_refused(content: str, config: DataConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        named(ITEMS, write(tmp_path, content), config)


def test_a_vocabulary_keeps_its_names_and_refuses_what_are_none() -> None:
    names = pl.Series("name", ["Bananas", None, "Milk"])
    values = Vocabulary(ITEMS.ids, names).to_dict()
    assert Vocabulary.from_dict(values).name(25) == "Milk"
    assert "names" not in ITEMS.to_dict()
    with pytest.raises(InputError, match="a vocabulary of 3 ids has 1 names"):
        Vocabulary.from_dict({**values, "names": ["Milk"]})
    for spoilt in (5, [1, 2, 3], None, [["a"], "b", "c"]):
        with pytest.raises(InputError, match=r"the names of a vocabulary are not a list|has 0 names"):
            Vocabulary.from_dict({**values, "names": spoilt})
