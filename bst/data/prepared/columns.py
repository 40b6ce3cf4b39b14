"""The facts and the columns of a table, as the preparation learns them piece by piece."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from bst.config import DataConfig
from bst.data.events import Events, OpenEvents
from bst.data.facts import mark_repeats
from bst.data.interactions import earlier_events
from bst.data.tables.table import Table
from bst.data.tables.times import count_unknown, remark_on_dates, to_seconds
from bst.data.users import ListedUsers
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import InputError


@dataclass
class Facts:
    """Facts of the rows of a table, repeats among them."""

    reach: pl.Series = field(default_factory=lambda: pl.Series([]))
    num_rows: int = 0
    repeats: int = 0
    ties: int = 0
    remarks: dict[str, None] = field(default_factory=dict)

    def add(self, events: Events) -> None:
        """Count the next piece."""
        self.reach = _reach(self.reach, events.times)
        self.num_rows += len(events.times)
        self.remarks |= dict.fromkeys(events.remarks)

    def mark(self, rows: pl.DataFrame) -> pl.Series:
        """Count repeats and ties of the next users, sorted by user and time; return which rows are repeats, bool."""
        repeats, tied = mark_repeats(rows, rows["time"])
        self.repeats += int(repeats.sum())
        self.ties += int(tied.sum())
        return repeats


def _reach(before: pl.Series, times: pl.Series) -> pl.Series:
    """Return the first and the last of times, together with those of the pieces before."""
    both = times if before.is_empty() else pl.concat([before, times])
    return pl.Series("time", [both.min(), both.max()], dtype=both.dtype)


@dataclass
class Columns:
    """The columns of the events over all pieces, and those of their users: types, ids, and first and last time.

    Attributes:
        users_table: where columns of the users stand; None without one.
    """

    opened: OpenEvents
    users_table: Table | None
    first_user: Any = None
    num_rows: int = 0
    dtypes: dict[str, pl.DataType] = field(default_factory=dict)
    ids: dict[str, Vocabulary] = field(default_factory=dict)
    several: dict[str, set[Any]] = field(default_factory=dict)
    reach: pl.Series = field(default_factory=lambda: pl.Series([]))
    unknown_times: int = 0

    @cached_property
    def users(self) -> ListedUsers | None:
        """The users' table, read when the first events are."""
        return None if self.users_table is None else ListedUsers(self.users_table, self.config)

    @property
    def config(self) -> DataConfig:
        return self.opened.config

    @property
    def path(self) -> Path:
        return self.opened.table.path

    def add(self, rows: pl.DataFrame) -> None:
        """Take the next piece in.

        Raises:
            InputError: a column is of another type than in the pieces before.
        """
        for name, values in rows.to_dict(as_series=True).items():
            self._require_type(name, values.dtype)
            if name in ("user", "time"):
                continue
            if name not in self.config.numbers:
                piece = Vocabulary.fit(values)
                self.ids[name] = self.ids[name].joined(piece) if name in self.ids else piece
            if name != "item" and len(seen := self.several.setdefault(name, set())) < 2:
                seen.update(values.drop_nulls().unique().head(2).to_list())
        if len(rows) and self.users:
            self.users.joined(rows.select(pl.col("user").unique()))
            smallest = rows["user"].min()
            self.first_user = smallest if self.first_user is None else min(smallest, self.first_user)
        self.num_rows += len(rows)
        self.reach = _reach(self.reach, rows["time"])
        self.unknown_times += count_unknown(rows["time"])

    def require_sound(self) -> None:
        """Refuse an input without a value, or a users' table without the users, and warn of an input with one value."""
        if self.users:
            self.users.require_some(self.first_user)
        kinds = {
            "context feature": self.config.context,
            "event feature": self.config.event_features,
            "number": self.config.numbers,
        }
        for what, name in ((kind, name) for kind, names in kinds.items() for name in names):
            of_user = self._of_user(name)
            seen = self.several[name] if of_user is None else {*of_user.drop_nulls().unique().head(2)}
            if not seen:
                raise InputError(f"{what} {name!r} has no value for any user of {self.path}; leave it out")
            if len(seen) == 1:
                warnings.warn(
                    f"{what} {name!r} has the single value {next(iter(seen))!r}: it tells the model nothing",
                    stacklevel=3,
                )
        if self.config.split_at:
            earlier_events(pl.Series([0, 0]), self.reach, self.config.split_at, self.config.time_format)

    @property
    def clock(self) -> str | None:
        """How the times are read as seconds, in words; None where they are no clock."""
        if self.opened.by_place:
            return None
        if self.reach.dtype.is_temporal() and self.reach.dtype != pl.Duration:
            return remark_on_dates(self.unknown_times)
        try:
            return to_seconds(self.reach, self.path, self.config.time_column)[1]
        except InputError:
            return None

    @property
    def vocabularies(self) -> Vocabularies:
        of_users = {name: self._of_user(name) for name in self.config.context}
        context = {
            name: self.ids[name] if values is None else Vocabulary.fit(values) for name, values in of_users.items()
        }
        events = {name: self.ids[name] for name in self.config.event_features}
        return Vocabularies(self.ids["item"], context, events=events)

    def _of_user(self, name: str) -> pl.Series | None:
        """Return the values of an input that stands in the users' table, of the users with events; None of another."""
        return self.users.values(name) if self.users and name in self.users.names else None

    def _require_type(self, name: str, dtype: pl.DataType) -> None:
        before = self.dtypes.setdefault(name, dtype)
        if dtype != before:
            column, _ = self.opened.readers()[name]
            raise InputError(
                f"{self.path}: column {column!r} is {before} in its first rows and {dtype} further down; write it as "
                "Parquet with one type"
            )
