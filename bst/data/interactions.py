"""Interactions from a table: which columns, which ids, in which order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import DataConfig
from bst.data.facts import TableFacts, count_facts
from bst.data.tables.columns import INTEGER, categories, ids
from bst.data.tables.packed import require_modest_rows, require_modest_text
from bst.data.tables.times import parse_time, read_times
from bst.errors import InputError, reason

SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Earlier:
    """How many events of each user are earlier than `time` (in words): `counts`, int64 `[num_users]`, as in `users`."""

    time: str
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Events of users, each user's together and in order of time.

    Attributes:
        events: columns `user` and `item` (Int64 or String), and one a context feature that changes from event to event;
            sorted by user, then time; rows that tie keep the order of the file.
        users: column `user` (each user once, in the order of `events`) and one a context feature that belongs to the
            user; null where it is not known.
        context: names of the context features, in the order asked for.
        facts: what was counted in the table.
        earlier: what is before `DataConfig.split_at`; None if that is not set.
    """

    events: pl.DataFrame
    users: pl.DataFrame
    context: tuple[str, ...]
    facts: TableFacts
    earlier: Earlier | None = None

    @property
    def event_context(self) -> tuple[str, ...]:
        """The context features that change from event to event."""
        return tuple(name for name in self.context if name not in self.users.columns)

    def context_values(self, name: str) -> pl.Series:
        return (self.users if name in self.users.columns else self.events)[name]


def read_interactions(
    path: Path, config: DataConfig, users_path: Path | None = None, *, text_items: bool = False
) -> Interactions:
    """Read events from CSV, TSV or Parquet (text also gzipped); context features stand there or in the users' table.

    A column of ids is Int64 where every value is a whole number, otherwise String (`bst.data.tables.columns`). Times
    are numbers, or dates that begin with the year (`bst.data.tables.times`). A context feature of the events is taken
    from the event that is to be predicted, so it must be known before that. With `text_items`, ids of items are text
    anyhow.

    Raises:
        InputError: a file cannot be read or is empty, a column is missing, ids are missing or mixed, a time is missing
            or may be read in two ways, a user stands twice in the users' table.
    """
    table, context_table = _Table(path), _Table(users_path) if users_path else None
    named = (config.user_column, config.item_column, config.time_column)
    table.require(named)
    per_user = [name for name in config.context if context_table and name in context_table.columns]
    per_event = [name for name in config.context if name not in per_user]
    _require_context(per_event, [table, *([context_table] if context_table else [])])

    raw = table.read((*named, *per_event))
    if raw.is_empty():
        raise InputError(f"{path} holds no rows below its header; give a table with at least one event")
    columns = {
        "user": ids(raw[config.user_column], path, config.text_ids),
        "item": ids(raw[config.item_column], path, config.text_ids or text_items),
        **{name: categories(raw[name], path) for name in per_event},
    }
    times = read_times(raw[config.time_column], path, config.time_format)
    del raw
    order = _chronological(columns["user"], times)
    for name in columns:  # one after the other, so that at most one column is held twice
        columns[name] = columns[name].gather(order)
    times, events = times.gather(order), pl.DataFrame(columns)
    facts, repeats = count_facts(events, times, drop_repeats=config.drop_repeats)
    if config.drop_repeats:
        events, times = events.filter(~repeats), times.filter(~repeats)
    users = events["user"].rle().struct.field("value").alias("user").to_frame()
    if context_table:
        users = _join_users(users, context_table, config, per_user)
    earlier = _earlier(events["user"], times, config.split_at, config.time_format) if config.split_at else None
    interactions = Interactions(events, users, config.context, facts, earlier)
    for name in config.context:
        values = interactions.context_values(name).drop_nulls()
        if not len(values):
            raise InputError(f"context feature {name!r} has no value for any user of {path}; leave it out")
        if values.n_unique() == 1:
            warnings.warn(
                f"context feature {name!r} has the single value {values[0]!r}: it tells the model nothing", stacklevel=2
            )
    return interactions


class _Table:
    """A file with named columns, read only as far as is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
        self.separator = SEPARATORS.get(suffix)
        if suffix not in (*SEPARATORS, ".parquet") or (path.suffix == ".gz" and suffix == ".parquet"):
            raise InputError(f"{path} ends in {path.suffix or 'nothing'!r}; known: .csv, .tsv (also .gz), .parquet")
        if not path.is_file():
            raise InputError(f"{path} is not a file; give the path of a table")
        with self._refusing():
            if self.separator is not None:
                require_modest_text(path)
            self.columns = self._scan().collect_schema().names()

    def require(self, columns: tuple[str, ...]) -> None:
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise InputError(
                f"{self.path} has no column {', '.join(map(repr, missing))}; it has {', '.join(self.columns)}; "
                "name yours with --user-column, --item-column, --time-column"
            )

    def read(self, columns: tuple[str, ...]) -> pl.DataFrame:
        """Read `columns`; in a text file they stay as they are written, unless all values are plain integers.

        A pass over the file in pieces finds the columns of integers first, so that their text is never held.
        """
        wanted = list(dict.fromkeys(columns))
        # Of columns with one name polars renames all but the first, and would read that without a word.
        if twice := [name for name in wanted if self._stands_twice(name)]:
            raise InputError(
                f"{self.path} has more than one column {', '.join(map(repr, twice))}; keep one of each name"
            )
        with self._refusing():
            if self.separator is None:
                require_modest_rows(self.path, self._scan().select(pl.len()).collect().item(), len(wanted))
                return self._scan().select(wanted).collect(engine="streaming")
            integers = self._integer_columns(wanted)
            return self._scan(dict.fromkeys(integers, pl.Int64)).select(wanted).collect(engine="streaming")

    def _stands_twice(self, name: str) -> bool:
        """Ask the header itself, where a column has the name that polars would make up: it may be its own."""
        if self.separator is None or f"{name}_duplicated_0" not in self.columns:
            return False
        with self._refusing():
            header = pl.scan_csv(
                self.path, separator=self.separator, glob=False, has_header=False, n_rows=1, infer_schema_length=0
            ).collect()
        return header.row(0).count(name) > 1

    def _integer_columns(self, names: list[str]) -> set[str]:
        """Name those of which every value is an integer as a computer writes it, within 64 bits."""
        plain = pl.col(names).str.contains(INTEGER) & pl.col(names).cast(pl.Int64, strict=False).is_not_null()
        found = self._scan().select(plain.fill_null(False).all()).collect(engine="streaming")
        return {name for name in names if found[name][0]}

    def _scan(self, known: Mapping[str, type[pl.DataType]] | None = None) -> pl.LazyFrame:
        if self.separator is None:
            return pl.scan_parquet(self.path, glob=False)
        return pl.scan_csv(
            self.path,
            separator=self.separator,
            glob=False,
            schema_overrides=dict(known or {}),
            infer_schema_length=0,
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except pl.exceptions.NoDataError:
            raise InputError(f"{self.path} is empty; give a table with a header and at least one event") from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path} cannot be read as a table: {reason(error)}") from None


def _earlier(users: pl.Series, times: pl.Series, split_at: str, time_format: str | None) -> Earlier:
    at = parse_time(split_at, times, time_format)
    if isinstance(at, int) and times.dtype.is_integer():  # which may be beyond those that the column can hold
        times, at = times.cast(pl.Int128), pl.Series([at], dtype=pl.Int128)
    before = pl.DataFrame({"user": users, "before": times < at})
    counts = before.group_by("user", maintain_order=True).agg(pl.col("before").sum().cast(pl.Int64))["before"]
    return Earlier(split_at, counts.to_numpy())


def _chronological(users: pl.Series, times: pl.Series) -> NDArray[np.int64]:
    """Order of the rows by user, then time; rows that tie keep the order they have."""
    return np.lexsort((_sortable(times), _sortable(users)))


def _sortable(values: pl.Series) -> NDArray[Any]:
    if values.dtype in (pl.String, pl.Int128, pl.UInt128):  # what numpy does not know, or not well
        values = values.rank("dense")
    return values.to_physical().to_numpy()


def _require_context(names: list[str], tables: list[_Table]) -> None:
    missing = [name for name in names if name not in tables[0].columns]
    if missing:
        known = "; ".join(f"{table.path} has {', '.join(table.columns)}" for table in tables)
        remedy = "" if len(tables) > 1 else "; a users' table is given with --users"
        raise InputError(f"no column {', '.join(map(repr, missing))} for a context feature; {known}{remedy}")


def _join_users(users: pl.DataFrame, table: _Table, config: DataConfig, names: list[str]) -> pl.DataFrame:
    table.require((config.user_column,))
    raw = table.read((config.user_column, *names))
    known = pl.DataFrame(
        {
            "user": ids(raw[config.user_column], table.path, config.text_ids),
            **{name: categories(raw[name], table.path) for name in names},
        }
    )
    if known["user"].dtype != users["user"].dtype:
        raise InputError(
            f"{table.path}: users are {known['user'].dtype}, in the events {users['user'].dtype}; "
            "give both the same ids, or keep all as text with --text-ids"
        )
    twice = known["user"].filter(known["user"].is_duplicated())
    if len(twice):
        raise InputError(f"{table.path}: user {twice[0]!r} stands there more than once; keep one row a user")
    return users.join(known, on="user", how="left", maintain_order="left")
