"""Names of items: read from a table of other people, and carried by the vocabulary."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, Vocabulary
from bst.data.items import read_items

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
    items = read_items(ITEMS, write(tmp_path, content), config)
    assert items.names is not None
    assert items.names.to_list() == names
    vocabulary = Vocabulary(ITEMS.ids, items.names)
    assert [vocabulary.name(item) for item in (11, 18, 25, 99)] == [*names, None]
    known = sum(name is not None for name in names)
    assert items.remarks[0] == f"items.csv: {known} of 3 items have a name"


def test_ids_that_look_like_numbers_are_text_where_the_events_have_text(tmp_path: Path) -> None:
    names = read_items(TEXTS, write(tmp_path, "item_id,name\n11,Bananas\n"), CONFIG).names
    assert names is not None
    assert names.to_list() == ["Bananas", None, None]


FEATURES = DataConfig(item_features=("brand",))
LISTS = DataConfig(item_features=("tags",), value_separator="|")


@pytest.mark.parametrize(
    ("content", "config", "categories", "values"),
    [
        ("item_id,brand\n25,b\n11,a\n99,z\n", FEATURES, ["a", "b"], [[1], [0], [2]]),
        ("item_id,brand\n25,7\n11,\n18,5\n", FEATURES, [5, 7], [[0], [1], [2]]),
        ("item_id,brand\n25,7\n11,NaN\n18,5\n", FEATURES, [5, 7], [[0], [1], [2]]),
        ("item_id,brand\n11,a\n11,a\n18,a\n25,\n", FEATURES, ["a"], [[1], [1], [0]]),
        ("item_id,tags\n11,x|y\n18, y | y |\n25,\n", LISTS, ["x", "y"], [[1, 2], [2, 0], [0, 0]]),
        ("item_id,tags\n11,x\n11,y\n18,y\n", LISTS, ["x", "y"], [[1, 2], [2, 0], [0, 0]]),
        ("item_id,tags\n11,3|1\n18,1\n", LISTS, [1, 3], [[1, 2], [1, 0], [0, 0]]),
    ],
)
def test_features_stand_in_the_order_of_the_ids_and_what_is_missing_is_0(
    content: str, config: DataConfig, categories: list[object], values: list[list[int]], tmp_path: Path
) -> None:
    (feature,) = read_items(ITEMS, write(tmp_path, content), config).features.values()
    assert feature.vocabulary.ids.to_list() == categories
    assert feature.values.tolist() == [[0] * len(values[0]), *values]


def test_lists_of_parquet_are_several_values(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": [11, 25], "tags": [["x", "y"], ["y"]]}).write_parquet(tmp_path / "items.parquet")
    config = DataConfig(item_features=("tags",))
    feature = read_items(ITEMS, tmp_path / "items.parquet", config).features["tags"]
    assert feature.values.tolist() == [[0, 0], [1, 2], [0, 0], [2, 0]]


def test_items_that_a_table_does_not_know_are_counted(tmp_path: Path) -> None:
    items = read_items(ITEMS, write(tmp_path, "item_id,brand\n25,b\n11,a\n"), FEATURES)
    assert items.remarks == ("items.csv: brand: 2 categories; 1 of 3 items have none",)


def test_categories_that_a_model_has_not_learnt_are_unknown(tmp_path: Path) -> None:
    learnt = {"brand": Vocabulary(pl.Series("id", ["a", "c"]))}
    feature = read_items(ITEMS, write(tmp_path, "item_id,brand\n25,b\n11,c\n"), FEATURES, learnt).features["brand"]
    assert feature.vocabulary is learnt["brand"]
    assert feature.values.tolist() == [[0], [2], [0], [0]]


@pytest.mark.parametrize(
    ("content", "config", "message"),
    [
        ("item_id,name\n11,Milk\n", DataConfig(), "needs --name-column, --item-features or --item-numbers"),
        ("product_id,name\n11,Milk\n", CONFIG, "no column 'item_id' of items; .*; say --items-key product_id"),
        ("item_id,title\n11,Milk\n", CONFIG, "no column 'name' of names; it has item_id, title; give another"),
        ("item_id,name\n", CONFIG, "holds no rows below its header; give a table with at least one item"),
        ("item_id,name\n99,Beer\n", CONFIG, "none of its items, such as 99, is an item of the events, such as 11"),
        ("item_id,name\na,Beer\n", CONFIG, "none of its items, such as 'a', is an item of the events, such as 11"),
        ("item_id,name\n11,Milk\n11,Beer\n", CONFIG, "item 11 is called 'Milk' and 'Beer'; keep one row an item"),
        ("item_id,name\n,Milk\n", CONFIG, "column 'item_id' is empty in 1 rows"),
        ("item_id,name\n11,Milk\n", FEATURES, "no column 'brand' for --item-features; it has item_id, name"),
        ("item_id,brand\n11,a\n11,b\n", FEATURES, "item 11 has the brand 'a' and 'b'; keep one row an item, or give"),
        ("item_id,brand\n11,\n99,b\n", FEATURES, "no item of the events has a value of 'brand'; leave it out"),
        ("item_id,brand\n11,1.5\n18,2.5\n", FEATURES, "'brand' holds fractions such as 1.5; cut it into categories"),
        ("item_id,brand\n99,b\n", FEATURES, "none of its items, such as 99, is an item of the events, such as 11"),
        (
            "item_id,tags\n11," + "|".join(map(str, range(300))),
            LISTS,
            "item 11 has 300 values of 'tags', more than 256",
        ),
    ],
)
def test_a_table_that_names_no_items_is_refused(content: str, config: DataConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_items(ITEMS, write(tmp_path, content), config)


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
