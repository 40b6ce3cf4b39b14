"""The users' table: one row a user, joined to the users of the events."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bst.config import DataConfig
from bst.data.events import read_input
from bst.data.tables.columns import ids
from bst.data.tables.names import KEY
from bst.data.tables.sources.frames import Frame
from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from bst.errors import InputError

BY, PLACE = "\0key", "\0place"  # columns of a join


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


def names_of_users(table: Table | None, config: DataConfig) -> list[str]:
    """Name the context features and numbers that stand in the users' table."""
    return [name for name in (*config.context, *config.numbers) if table and name in table.columns]


class ListedUsers:
    """The users of a users' table in memory, and which of them have events.

    Attributes:
        table: where they stand.
        names: the columns that are joined.
    """

    def __init__(self, table: Table, config: DataConfig) -> None:
        """Read the table.

        Raises:
            InputError: it has no users, or one stands there twice.
        """
        self.table, self.names = table, names_of_users(table, config)
        key, path = config.users_key or config.user_column, table.path
        columns = (key, *self.names)
        raw = table.collect(table.rows(columns), columns)
        if raw.is_empty():
            raise InputError(f"{path} holds no rows below its header; give a table with at least one user")
        values = {name: read_input(raw[name], path, config) for name in self.names}
        self._listed = pl.DataFrame({"user": ids(raw[key], path, config.text_ids, mixed=True), **values})
        twice = self._listed["user"].filter(self._listed["user"].is_duplicated())
        if len(twice):
            raise InputError(f"{path}: user {twice[0]!r} stands there more than once; keep one row a user")
        self._has_events = np.zeros(len(self._listed), dtype=np.bool_)

    def joined(self, users: pl.DataFrame) -> pl.DataFrame:
        """Join the columns `names` to the column `user` of users with events; null where the table lacks a user.

        Ids that are numbers on one side and text on the other are compared as text.
        """
        as_text = self._listed["user"].dtype != users["user"].dtype
        listed = self._listed.with_row_index(PLACE)
        joined = users.with_columns(pl.col("user").cast(pl.String if as_text else users["user"].dtype).alias(BY)).join(
            listed.rename({"user": BY}).cast({BY: pl.String} if as_text else {}),
            on=BY,
            how="left",
            maintain_order="left",
        )
        self._has_events[joined[PLACE].drop_nulls().to_numpy()] = True
        return joined.drop(BY, PLACE)

    def values(self, name: str) -> pl.Series:
        """Return a column of the users that were joined so far, in the order of the table."""
        return self._listed[name].filter(pl.Series(self._has_events))

    def require_some(self, user: Any) -> None:
        """Refuse a table of which no user was joined.

        Args:
            user: one of those with events, for the message.

        Raises:
            InputError: the message has one of each.
        """
        if not self._has_events.any():
            raise InputError(
                f"{self.table.path}: none of its users, such as {self._listed['user'][0]!r}, is a user of the events, "
                f"such as {user!r}; give a table of the same users, or another --users-key"
            )

    def remarks(self, num_users: int) -> list[str]:
        """Count how many of the users with events stand in the table, and add what was guessed about it."""
        count = f"{int(self._has_events.sum()):,} of {num_users:,} users stand in {self.table.path}"
        return [count, *(f"{self.table.path}: {line}" for line in self.table.remarks)]
