"""The users' table: one row a user, joined to the users of the events."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl

from bst.config import DataConfig
from bst.data.events import read_input
from bst.data.tables.columns import ids
from bst.data.tables.names import KEY
from bst.data.tables.sources.frames import Frame
from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from bst.errors import InputError


def open_users(place: Path | Frame, config: DataConfig) -> Table:
    """Open a users' table.

    Raises:
        InputError: it cannot be read, or has no column of users.
    """
    key = config.users_key or config.user_column
    table = Table(
        place,
        Layout((key, *config.context, *config.numbers), columns=config.users_columns, columns_option="--users-columns"),
    )
    if key not in table.columns:
        likely = KEY.likely(table.columns)
        named = f"say --users-key {shlex.quote(likely)}" if likely else "name it with --users-key"
        remedy = table.first.advice or named
        raise InputError(f"{table.path} has no column {key!r} of users; it has {', '.join(table.columns)}; {remedy}")
    return table


def join_users(users: pl.DataFrame, table: Table, config: DataConfig, names: list[str]) -> tuple[pl.DataFrame, str]:
    """Join columns `names` of the table to the column `user`; null where the table lacks a user.

    Ids that are numbers on one side and text on the other are compared as text. A remark counts the users of the table.

    Raises:
        InputError: a user stands there twice, or none of them is a user of the events.
    """
    key, path = config.users_key or config.user_column, table.path
    columns = (key, *names)
    raw = table.collect(table.rows(columns), columns)
    if raw.is_empty():
        raise InputError(f"{path} holds no rows below its header; give a table with at least one user")
    listed = pl.DataFrame(
        {
            "user": ids(raw[key], path, config.text_ids, mixed=True),
            **{name: read_input(raw[name], path, config) for name in names},
        }
    )
    twice = listed["user"].filter(listed["user"].is_duplicated())
    if len(twice):
        raise InputError(f"{path}: user {twice[0]!r} stands there more than once; keep one row a user")
    as_text = listed["user"].dtype != users["user"].dtype
    by = "\0key"
    joined = users.with_columns(pl.col("user").cast(pl.String if as_text else users["user"].dtype).alias(by)).join(
        listed.rename({"user": by}).cast({by: pl.String} if as_text else {}), on=by, how="left", maintain_order="left"
    )
    count = int(users["user"].cast(pl.String).is_in(listed["user"].cast(pl.String).implode()).sum())
    if not count:
        raise InputError(
            f"{path}: none of its users, such as {listed['user'][0]!r}, is a user of the events, such as "
            f"{users['user'][0]!r}; give a table of the same users, or another --users-key"
        )
    return joined.drop(by), f"{count:,} of {len(users):,} users stand in {path}"
