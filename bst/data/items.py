"""The items' table: one row an item, with a name for people."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl

from bst.config import DataConfig
from bst.data.tables.columns import ids
from bst.data.tables.names import ITEM
from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from bst.data.vocabulary import Vocabulary
from bst.errors import InputError


def named(items: Vocabulary, path: Path, config: DataConfig) -> tuple[Vocabulary, tuple[str, ...]]:
    """Return `items` with names from a table, and remarks on how it was read. An item that the table lacks has no name.

    Raises:
        InputError: the table cannot be read or lacks a column, an item has two names there, or none is an item of the
            events.
    """
    key, column = config.items_key or config.item_column, config.name_column
    if column is None:
        raise InputError(f"--items {path} needs --name-column, the column of the names")
    table = Table(path, Layout((key, column), columns=config.items_columns, columns_option="--items-columns"))
    _require_columns(table, key, column)
    raw = table.collect(table.rows((key, column)), (key, column))
    if raw.is_empty():
        raise InputError(f"{path} holds no rows below its header; give a table with at least one item")
    listed = pl.DataFrame(
        {
            "id": ids(raw[key], path, items.dtype == "string", mixed=True),
            "name": raw[column].cast(pl.String).str.strip_chars(),
        }
    )
    listed = listed.filter(pl.col("name") != "").unique(maintain_order=True)
    own = items.ids.rename("id")
    if listed["id"].dtype != own.dtype:  # items of others may have ids of another kind
        own = own.cast(pl.String)
    if not listed["id"].is_in(own.implode()).any():
        raise InputError(
            f"{path}: none of its items, such as {raw[key][0]!r}, is an item of the events, such as {items.ids[0]!r}; "
            "give a table of the same items, or another --items-key"
        )
    if len(twice := listed.filter(listed["id"].is_duplicated())):
        first = twice.filter(pl.col("id") == twice["id"][0])["name"]
        raise InputError(
            f"{path}: item {twice['id'][0]!r} is called {first[0]!r} and {first[1]!r}; keep one row an item"
        )
    names = own.to_frame().join(listed, on="id", how="left", maintain_order="left")["name"]
    count = len(names) - names.null_count()
    coverage = f"{count:,} of {len(names):,} items have a name"
    return Vocabulary(items.ids, names), tuple(f"{path.name}: {remark}" for remark in (coverage, *table.remarks))


def _require_columns(table: Table, key: str, column: str) -> None:
    there = ", ".join(table.columns)
    if key not in table.columns:
        likely = ITEM.likely(table.columns)
        named = f"say --items-key {shlex.quote(likely)}" if likely else "name it with --items-key"
        remedy = table.first.advice or named
        raise InputError(f"{table.path} has no column {key!r} of items; it has {there}; {remedy}")
    if column not in table.columns:
        raise InputError(f"{table.path} has no column {column!r} of names; it has {there}; give another --name-column")
