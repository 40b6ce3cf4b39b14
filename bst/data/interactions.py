"""Interactions from a table: which columns, which ids, in which order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import DataConfig
from bst.data.events import layout_of, read_events
from bst.data.facts import TableFacts, mark_repeats
from bst.data.tables.selection import frequent
from bst.data.tables.sources.frames import DataFrame, place_of
from bst.data.tables.table import Table
from bst.data.tables.times import parse_time, span, to_seconds
from bst.data.users import ListedUsers, names_of_users, open_users
from bst.errors import InputError

DEFAULTS = DataConfig()


@dataclass(frozen=True)
class Earlier:
    """The number of each user's events before `time` (in words): `counts`, int64 `[num_users]`, as in `users`."""

    time: str
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What makes a table of events a log of impressions.

    Attributes:
        clicked: bool `[num_events]`.
        moments: int64 `[num_events]`, the place of the event's time among the different times of the table, from 0.
        times: those times, ascending.
    """

    clicked: NDArray[np.bool_]
    moments: NDArray[np.int64]
    times: pl.Series


@dataclass(frozen=True)
class Interactions:
    """Events of users, each user's together and in order of time.

    Attributes:
        events: columns `user` and `item` (Int64 or String), and one an event feature, and a context feature or number
            that changes from event to event; sorted by user, then time; rows that tie keep the order of the file, those
            of a log are sorted by all that they hold.
        users: column `user` (each user once, in the order of `events`) and one a context feature or number that belongs
            to the user; null where it is not known.
        context, event_features, numbers: their names, in the order asked for.
        facts: counts of the table.
        earlier: the numbers of events before `DataConfig.split_at`; None if that is not set.
        times: Int64, seconds since 1970, as long as `events`; None where nobody asked for them.
        labels: of a log of impressions, whose events are the impressions; None of a table of events.
    """

    events: pl.DataFrame
    users: pl.DataFrame
    context: tuple[str, ...]
    facts: TableFacts
    earlier: Earlier | None = None
    event_features: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    times: pl.Series | None = None
    labels: Labels | None = None

    @property
    def event_context(self) -> tuple[str, ...]:
        """The context features and numbers that change from event to event."""
        return tuple(name for name in (*self.context, *self.numbers) if name not in self.users.columns)

    def values(self, name: str) -> pl.Series:
        return (self.users if name in self.users.columns else self.events)[name]


def read_interactions(
    events: Path | str | DataFrame,
    config: DataConfig = DEFAULTS,
    users: Path | str | DataFrame | None = None,
    *,
    text_items: bool = False,
    times: bool = False,
) -> Interactions:
    """Read events; context features stand beside them or in the users' table.

    `events` is a DataFrame of polars or pandas (where a level of the index that has a name is a column), a file of text
    (CSV and its relatives, JSON lines; also gzipped) or Parquet, a folder of such parts, or a pattern of them. So is
    `users`. Messages name the options of `bst train`: `--user-column` is `DataConfig(user_column=...)`.

    A column of ids is Int64 where every value is a whole number, otherwise String (`bst.data.tables.columns`); users
    may mix both, and are text then. Times are numbers, or dates that begin with the year (`bst.data.tables.times`). A
    context feature of the events is taken from the event that is to be predicted, so it must be known before that. With
    `text_items`, ids of items are text anyhow. With `times`, the times of events are kept as seconds, for a model that
    reads them (`event_times` of its settings). With `DataConfig.label` the table is a log of impressions.

    Raises:
        InputError: a file cannot be read or is empty, a column is missing, ids are missing or mixed, a time is missing
            or may be read in two ways, a user stands twice in the users' table. What is wrong with the columns comes in
            one message.
    """
    table = Table(place_of(events, "the DataFrame of events"), layout_of(config))
    users_table = None if users is None else open_users(place_of(users, "the DataFrame of users"), config)
    read = _in_order(table, users_table, config, text_items)
    return _with_seconds(read, table.path, config) if times else replace(read, times=None)


def _with_seconds(read: Interactions, path: Path, config: DataConfig) -> Interactions:
    seconds, remark = seconds_of(read.times, path, config.time_column)
    return replace(read, times=seconds, facts=replace(read.facts, remarks=(*read.facts.remarks, remark)))


def seconds_of(times: pl.Series | None, path: Path, column: str) -> tuple[pl.Series, str]:
    """Turn times into seconds, as `to_seconds` does.

    Raises:
        InputError: the table has an order alone, or its times are no clock.
    """
    if times is None:
        raise InputError(f"{path} has no times, only an order; a model of event times needs --time-column")
    return to_seconds(times, path, column)


def _in_order(table: Table, users_table: Table | None, config: DataConfig, text_items: bool) -> Interactions:
    of_requests = (*config.context, *config.numbers)
    per_user = names_of_users(users_table, config)
    per_event = [name for name in (*of_requests, *config.event_features) if name not in per_user]
    read = read_events(table, users_table, config, per_event, text_items=text_items)
    columns, clicked = read.columns, read.clicked
    # The rows of a log have no order of their own within a request.
    ties = () if clicked is None else (clicked, *(values for name, values in columns.items() if name != "user"))
    order = _chronological(columns["user"], read.times, ties)
    for name in columns:  # one after the other, so that at most one column is held twice
        columns[name] = columns[name].gather(order)
    times, events = read.times.gather(order), pl.DataFrame(columns)
    clicked = None if clicked is None else clicked.gather(order)
    repeats, tied = mark_repeats(events, times) if clicked is None else (pl.Series([False]), pl.Series([False]))
    num_events, reach = len(events), "in the order of the file" if read.by_place else span(times)
    remarks = list(read.remarks)
    if config.drop_repeats:
        events, times = events.filter(~repeats), times.filter(~repeats)
    if config.min_count:
        stays, remark = frequent(events, config.min_count, table.path)
        events, times = events.filter(stays), times.filter(stays)
        clicked = None if clicked is None else clicked.filter(stays)
        remarks.append(remark)
    users = users_of(events)
    if users_table:
        listed = ListedUsers(users_table, config)
        users = listed.joined(users)
        listed.require_some(users["user"][0])
        remarks += listed.remarks(len(users))
    facts = TableFacts(num_events, reach, int(repeats.sum()), int(tied.sum()), config.drop_repeats, tuple(remarks))
    earlier = earlier_events(events["user"], times, config.split_at, config.time_format) if config.split_at else None
    kept_times = None if read.by_place else times
    interactions = Interactions(
        *(events, users, config.context, facts, earlier, config.event_features, config.numbers, kept_times),
        None if clicked is None else _labels(clicked, times),
    )
    _require_values(interactions, table.path)
    return interactions


def _require_values(interactions: Interactions, path: Path) -> None:
    """Refuse an input without a value, and warn of one with a single value."""
    kinds = {
        "context feature": interactions.context,
        "event feature": interactions.event_features,
        "number": interactions.numbers,
    }
    for what, name in ((what, name) for what, names in kinds.items() for name in names):
        values = interactions.values(name).drop_nulls()
        if not len(values):
            raise InputError(f"{what} {name!r} has no value for any user of {path}; leave it out")
        if values.n_unique() == 1:
            warnings.warn(
                f"{what} {name!r} has the single value {values[0]!r}: it tells the model nothing", stacklevel=5
            )


def users_of(events: pl.DataFrame) -> pl.DataFrame:
    """List the users of events that are sorted by them."""
    return events["user"].rle().struct.field("value").alias("user").to_frame()


def earlier_events(users: pl.Series, times: pl.Series, split_at: str, time_format: str | None) -> Earlier:
    """Count each user's events before a time, of events that are sorted by user.

    Raises:
        InputError: `split_at` is no time as in `times`.
    """
    before = pl.DataFrame({"user": users, "before": is_before(times, split_at, time_format)})
    counts = before.group_by("user", maintain_order=True).agg(pl.col("before").sum().cast(pl.Int64))["before"]
    return Earlier(split_at, counts.to_numpy())


def is_before(times: pl.Series, split_at: str, time_format: str | None) -> pl.Series:
    """Return which times are before one in words, Boolean.

    Raises:
        InputError: `split_at` is no time as in `times`.
    """
    at = parse_time(split_at, times, time_format)
    if isinstance(at, int) and times.dtype.is_integer():  # which may be beyond those that the column can hold
        times, at = times.cast(pl.Int128), pl.Series([at], dtype=pl.Int128)
    return times < at


def _labels(clicked: pl.Series, times: pl.Series) -> Labels:
    moments = times.rank("dense").cast(pl.Int64).to_numpy() - 1
    return Labels(clicked.to_numpy(), moments, times.unique().sort())


def _chronological(users: pl.Series, times: pl.Series, ties: Sequence[pl.Series] = ()) -> NDArray[np.int64]:
    """Return the order of the rows by user, then time, then `ties`; rows that tie then keep the order they have."""
    return np.lexsort((*map(_sortable, ties[::-1]), _sortable(times), _sortable(users)))


def _sortable(values: pl.Series) -> NDArray[Any]:
    if values.dtype in (pl.String, pl.Int128, pl.UInt128) or values.null_count():  # what numpy does not know well
        values = values.rank("dense")
    return values.to_physical().to_numpy()
