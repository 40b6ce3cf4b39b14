"""The items' table: names of the items, for people, and their features, which a model learns from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import NUMBER_BOUND, DataConfig, ItemNumber
from bst.data.tables.columns import categories, ids, numbers
from bst.data.tables.names import ITEM
from bst.data.tables.sources.frames import DataFrame, place_of
from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from bst.data.vocabulary import Vocabulary
from bst.errors import InputError

MOST_VALUES = 256  # of a feature, that one item has


@dataclass(frozen=True)
class ItemFeatureValues:
    """The values of one feature, for every item of the catalogue.

    Attributes:
        vocabulary: its categories.
        values: int32 `[num_items + 1, num_values]`, indices of `vocabulary`, 0 where an item has fewer; row 0 is that
            of padding.
    """

    vocabulary: Vocabulary
    values: NDArray[np.int32]


@dataclass(frozen=True)
class ItemNumberValues:
    """A number of every item of the catalogue.

    Attributes:
        mean, deviation: of the items of the events.
        values: float32 `[num_items + 1]`, in standard deviations from the mean, at most `NUMBER_BOUND`; NaN
            where the number is not known, as in row 0.
    """

    mean: float
    deviation: float
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Items:
    """What a table tells of the items of a catalogue.

    Attributes:
        names: String in the order of the vocabulary, null where there is none; None where nobody asked for names.
        features: by name, in the order asked for.
        numbers: likewise.
        remarks: what was guessed or is not known, for people.
    """

    names: pl.Series | None = None
    features: Mapping[str, ItemFeatureValues] = field(default_factory=dict)
    numbers: Mapping[str, ItemNumberValues] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_items(
    items: Vocabulary,
    table: Path | str | DataFrame,
    config: DataConfig,
    learnt: Mapping[str, Vocabulary] | None = None,
    learnt_numbers: Mapping[str, ItemNumber] | None = None,
) -> Items:
    """Read names (`config.name_column`), features (`config.item_features`) and numbers (`config.item_numbers`) of the
    catalogue `items` from a table.

    A row may come again, as in a table of events, if it says the same. What the table does not know of an item is
    unknown to the model; how many items that are stands in the remarks.

    Args:
        learnt: the categories of each feature that a model knows, where there is one; others are unknown to it.
        learnt_numbers: likewise the mean and deviation of each number.

    Raises:
        InputError: the table cannot be read or lacks a column, an item has two names or two values of a feature that
            is no list, none is an item of the catalogue, or nothing is asked for.
    """
    if config.name_column is None and not (config.item_features or config.item_numbers):
        raise InputError("--items needs --name-column, --item-features or --item-numbers: the columns to take from it")
    reader = _open(items, table, config)
    names = reader.names(config.name_column) if config.name_column else None
    features = {
        name: reader.feature(name, config.value_separator, (learnt or {}).get(name)) for name in config.item_features
    }
    item_numbers = {name: reader.number(name, (learnt_numbers or {}).get(name)) for name in config.item_numbers}
    remarks = (f"{reader.table.path.name}: {remark}" for remark in reader.table.remarks)
    return Items(names, features, item_numbers, (*reader.remarks, *dict.fromkeys(remarks)))


def mean_and_deviation(values: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation of the finite values; a deviation of 0 becomes 1, and so does that of none."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return 0.0, 1.0
    return float(finite.mean()), float(finite.std()) or 1.0


def read_strangers(items: Vocabulary, table: Path | str | DataFrame, config: DataConfig) -> Vocabulary:
    """Read the ids of a table's items that `items` does not hold, as numbers or text as those are.

    Raises:
        InputError: as `read_items`, or they are of another kind than those of `items`, or none is new.
    """
    reader = _open(items, table, config)
    raw_ids = reader.ids()
    if raw_ids.dtype != items.ids.dtype:
        raise InputError(
            f"{reader.table.path} has items such as {raw_ids[0]!r}, and the run knows numbers such as {items.ids[0]}"
        )
    strangers = Vocabulary.fit(raw_ids.filter(~raw_ids.is_in(items.ids.implode())))
    if not len(strangers):
        raise InputError(f"{reader.table.path} has no item that the run does not know; there is nothing to add")
    return strangers


def _open(items: Vocabulary, table: Path | str | DataFrame, config: DataConfig) -> _Reader:
    key = config.items_key or config.item_column
    columns = (key, *([config.name_column] if config.name_column else []), *_asked(config))
    layout = Layout(columns, columns=config.items_columns, columns_option="--items-columns")
    opened = Table(place_of(table, "the DataFrame of items"), layout)
    _require_columns(opened, key, config)
    return _Reader(opened, key, items)


class _Reader:
    """Reads one column after the other, as rows of an item's place in the catalogue (`index`, from 1) and a value."""

    def __init__(self, table: Table, key: str, items: Vocabulary) -> None:
        self.table, self.key, self.items = table, key, items
        self.remarks: list[str] = []

    def names(self, column: str) -> pl.Series:
        rows = self._rows(column, ())
        names = rows.select("id", value=pl.col(column).cast(pl.String).str.strip_chars().replace("", None))
        names = self._of_catalogue(names)
        if len(twice := names.filter(pl.col("index").is_duplicated())):
            self._refuse_second(twice, "is called {} and {}; keep one row an item")
        self._remark(f"{len(names):,} of {len(self.items):,} items have a name")
        by_index = pl.DataFrame({"index": np.arange(1, len(self.items) + 1)}).join(
            names, on="index", how="left", maintain_order="left"
        )
        return by_index["value"].alias("name")

    def ids(self) -> pl.Series:
        """All items of the table, those of others among them."""
        return self._rows(self.key, ())["id"].unique().sort()

    def feature(self, column: str, separator: str | None, learnt: Vocabulary | None) -> ItemFeatureValues:
        lists = self.table.lists([column])
        rows = self._rows(column, lists)
        if separator is not None and not lists:
            rows = rows.with_columns(pl.col(column).cast(pl.String).str.split(separator)).explode(column)
            rows = rows.with_columns(pl.col(column).str.strip_chars())
        rows = rows.with_columns(categories(rows[column], self.table.path, what="item feature").alias("value"))
        listed = self._of_catalogue(rows.select("id", "value"))
        if separator is None and not lists and len(twice := listed.filter(pl.col("index").is_duplicated())):
            self._refuse_second(twice, f"has the {column} {{}} and {{}}; keep one row an item, or give lists of values")
        if listed.is_empty() and learnt is None:
            raise InputError(f"{self.table.path}: no item of the events has a value of {column!r}; leave it out")
        if learnt is not None:
            listed = listed.with_columns(pl.col("value").cast(learnt.ids.dtype, strict=False))
            listed = listed.filter(pl.col("value").is_in(learnt.ids.implode()))
        self._count(column, listed)
        vocabulary = learnt or Vocabulary.fit(listed["value"])
        return ItemFeatureValues(vocabulary, self._rectangle(listed, vocabulary, column))

    def number(self, column: str, learnt: ItemNumber | None) -> ItemNumberValues:
        rows = self._rows(column, ())
        rows = rows.with_columns(numbers(rows[column], self.table.path).alias("value"))
        listed = self._of_catalogue(rows.select("id", "value"))
        if len(twice := listed.filter(pl.col("index").is_duplicated())):
            self._refuse_second(twice, f"has the {column} {{}} and {{}}; keep one row an item")
        if listed.is_empty() and learnt is None:
            raise InputError(f"{self.table.path}: no item of the events has a value of {column!r}; leave it out")
        raw = listed["value"].to_numpy()
        mean, deviation = (learnt.mean, learnt.deviation) if learnt else mean_and_deviation(raw)
        if unknown := len(self.items) - len(listed):
            self._remark(f"{column}: {unknown:,} of {len(self.items):,} items have none")
        values = np.full(len(self.items) + 1, np.nan, dtype=np.float32)
        values[listed["index"].to_numpy()] = ((raw - mean) / deviation).clip(-NUMBER_BOUND, NUMBER_BOUND)
        return ItemNumberValues(mean, deviation, values)

    def _rows(self, column: str, lists: list[str] | tuple[()]) -> pl.DataFrame:
        columns = tuple(dict.fromkeys((self.key, column)))
        raw = self.table.collect(self.table.rows(columns, lists), columns)
        if raw.is_empty():
            raise InputError(f"{self.table.path} holds no rows below its header; give a table with at least one item")
        text_ids = self.items.dtype == "string"
        return raw.with_columns(ids(raw[self.key], self.table.path, text_ids, mixed=True).alias("id"))

    def _of_catalogue(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Leave out repeats, the items of others and rows without a value; `index` stands for the id.

        Raises:
            InputError: all items are of others.
        """
        own = self.items.ids.rename("id").to_frame().with_row_index("index", offset=1)
        if rows["id"].dtype != own["id"].dtype:  # items of others may have ids of another kind
            own = own.with_columns(pl.col("id").cast(pl.String))
        own = own.with_columns(pl.col("index").cast(pl.Int64))
        listed = rows.unique(maintain_order=True).join(own, on="id", how="inner", maintain_order="left")
        if listed.is_empty():
            raise InputError(
                f"{self.table.path}: none of its items, such as {rows['id'][0]!r}, is an item of the events, such as "
                f"{self.items.ids[0]!r}; give a table of the same items, or another --items-key"
            )
        return listed.drop_nulls().select("id", "index", "value")

    def _refuse_second(self, twice: pl.DataFrame, message: str) -> None:
        first = twice.filter(pl.col("index") == twice["index"][0])
        values = message.format(repr(first["value"][0]), repr(first["value"][1]))
        raise InputError(f"{self.table.path}: item {first['id'][0]!r} {values}")

    def _count(self, column: str, listed: pl.DataFrame) -> None:
        remark = f"{column}: {listed['value'].n_unique():,} categories"
        if unknown := len(self.items) - listed["index"].n_unique():
            remark += f"; {unknown:,} of {len(self.items):,} items have none"
        self._remark(remark)

    def _remark(self, remark: str) -> None:
        self.remarks.append(f"{self.table.path.name}: {remark}")

    def _rectangle(self, listed: pl.DataFrame, vocabulary: Vocabulary, column: str) -> NDArray[np.int32]:
        rows, values = listed["index"].to_numpy(), vocabulary.indices(listed["value"])
        order = np.lexsort((values, rows))
        rows, values = rows[order], values[order]
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        width = int(places.max(initial=0)) + 1
        if width > MOST_VALUES:
            item = self.items.ids[int(rows[places.argmax()]) - 1]
            raise InputError(
                f"{self.table.path}: item {item!r} has {width:,} values of {column!r}, more than {MOST_VALUES}; keep "
                "those that tell items apart"
            )
        rectangle = np.zeros((len(self.items) + 1, width), dtype=np.int32)
        rectangle[rows, places] = values
        return rectangle


def _require_columns(table: Table, key: str, config: DataConfig) -> None:
    there = ", ".join(table.columns)
    if key not in table.columns:
        likely = ITEM.likely(table.columns)
        named = f"say --items-key {shlex.quote(likely)}" if likely else "name it with --items-key"
        remedy = table.first.advice or named
        raise InputError(f"{table.path} has no column {key!r} of items; it has {there}; {remedy}")
    if config.name_column and config.name_column not in table.columns:
        raise InputError(
            f"{table.path} has no column {config.name_column!r} of names; it has {there}; give another --name-column"
        )
    if missing := [name for name in _asked(config) if name not in table.columns]:
        option = "--item-features" if missing[0] in config.item_features else "--item-numbers"
        raise InputError(f"{table.path} has no column {', '.join(map(repr, missing))} for {option}; it has {there}")


def _asked(config: DataConfig) -> tuple[str, ...]:
    return (*config.item_features, *config.item_numbers)
