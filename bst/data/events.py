"""Events of a table in the order of the file, and all that is wrong with its columns in one message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bst.config import DataConfig
from bst.data.tables.columns import WHOLE, categories, ids, labels, numbers
from bst.data.tables.names import ITEM, ROLES, TIME, USER, Role, say_columns
from bst.data.tables.problems import Problems
from bst.data.tables.selection import Condition, conditions, rows_where
from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from bst.data.tables.times import read_dates, read_times
from bst.errors import InputError


@dataclass(frozen=True)
class Events:
    """Events as the table has them.

    Attributes:
        columns: `user` and `item` (Int64 or String), and one an input of the model; all of one length.
        times: values with an order, of the same length; the place of an event, where the table has no times.
        by_place: whether `times` are places.
        remarks: guesses and omissions.
        clicked: Boolean, of the same length, where the table has labels.
    """

    columns: dict[str, pl.Series]
    times: pl.Series
    by_place: bool
    remarks: tuple[str, ...]
    clicked: pl.Series | None = None


@dataclass(frozen=True)
class OpenEvents:
    """Events of a table that are found, and not read yet.

    Attributes:
        rows: the events, in the order of the file.
        roles: the columns of users, items and times that are there.
        inputs: the columns that are inputs of the model, and that of labels.
        by_place: whether the place of an event is its time.
        remarks: guesses and omissions on the conditions.
        text_items: whether ids of items are text anyhow.
    """

    table: Table
    config: DataConfig
    rows: pl.LazyFrame
    roles: dict[Role, str]
    inputs: list[str]
    by_place: bool
    remarks: list[str]
    text_items: bool = False

    @property
    def columns(self) -> list[str]:
        return [*self.roles.values(), *self.inputs]

    def read(
        self,
        raw: pl.DataFrame,
        problems: Problems,
        *,
        readings: Mapping[str, Callable[[pl.Series], pl.Series]] | None = None,
        first: int = 0,
    ) -> Events:
        """Make events of the `columns` that were read, of some rows or of all.

        Args:
            readings: instead of `readers`, by the same names.
            first: the place of the first of these rows.

        Raises:
            InputError: every problem of the table, in one message.
        """
        columns: dict[str, pl.Series] = {}
        for name, (column, reader) in self.readers().items():
            with problems.collected():
                columns[name] = (readings or {}).get(name, reader)(raw[column])
        problems.tell()
        times = columns.pop("time") if TIME in self.roles else pl.int_range(first, first + len(raw), eager=True)
        clicked = columns.pop(self.config.label) if self.config.label is not None else None
        guesses = _remarks_on_users(columns["user"], self.config)
        guesses += _remarks_on_order(self.table, self.config, self.by_place)
        return Events(columns, times, self.by_place, (*self.table.remarks, *self.remarks, *guesses), clicked)

    def readers(self) -> dict[str, tuple[str, Callable[[pl.Series], pl.Series]]]:
        """Return the column of each role and input, and what reads it, by the names of `Events`; times are `time`."""
        path, config = self.table.path, self.config
        text_items = config.text_ids or self.text_items
        of_roles: dict[Role, tuple[str, Callable[[pl.Series], pl.Series]]] = {
            USER: ("user", lambda values: ids(values, path, config.text_ids, mixed=True)),
            ITEM: ("item", lambda values: ids(values, path, text_items)),
            TIME: ("time", lambda values: read_times(values, path, config.time_format)),
        }
        readers = {name: (self.roles[role], read) for role, (name, read) in of_roles.items() if role in self.roles}
        for name in self.inputs:
            readers[name] = (name, self._read_label if name == config.label else self._read_input)
        return readers

    def read_dates(self, values: pl.Series, form: str) -> pl.Series:
        """Read times that are all dates of one format; see `bst.data.tables.times.read_dates`."""
        return read_dates(values.str.strip_chars(), self.table.path, form)

    def _read_label(self, values: pl.Series) -> pl.Series:
        return labels(values, self.table.path)

    def _read_input(self, values: pl.Series) -> pl.Series:
        return read_input(values, self.table.path, self.config)


def layout_of(config: DataConfig) -> Layout:
    inputs = (*config.context, *config.event_features, *config.numbers, *_label(config))
    named = (config.user_column, config.item_column, config.time_column, *inputs)
    wheres = tuple(condition.column for condition in conditions(config.where))
    return Layout(
        (*named, *wheres), config.separator, config.columns, not (config.no_header or config.columns), config.ragged
    )


def read_events(
    table: Table, users_table: Table | None, config: DataConfig, per_event: Sequence[str], *, text_items: bool
) -> Events:
    """Read the events of `table`, with the inputs `per_event`.

    Raises:
        InputError: every problem of the table, in one message.
    """
    problems = Problems(table.path)
    opened = open_events(table, users_table, config, per_event, problems, text_items=text_items)
    raw = pl.DataFrame()
    with problems.collected():
        raw = table.collect(opened.rows, opened.columns)
        require_rows(raw, table)
    if raw.is_empty():
        problems.tell()
    return opened.read(raw, problems)


def open_events(
    table: Table,
    users_table: Table | None,
    config: DataConfig,
    per_event: Sequence[str],
    problems: Problems,
    *,
    text_items: bool = False,
) -> OpenEvents:
    """Find the events of `table`, with the inputs `per_event`; what is wrong with its columns goes to `problems`.

    Raises:
        InputError: nothing of it can be read; the message has all problems.
    """
    where = conditions(config.where)
    roles = {USER: config.user_column, ITEM: config.item_column, TIME: config.time_column}
    by_place = config.label is None and (config.file_order or config.ragged or _is_in_lists(table, roles))
    if by_place:
        del roles[TIME]
    with problems.collected():
        _require_roles(table, roles, config)
    with problems.collected():
        _require_label(config, table)
    with problems.collected():
        _require_context(per_event, table, users_table)
    with problems.collected():
        _require_conditions(table, [condition.column for condition in where])
    present = {role: name for role, name in roles.items() if name in table.columns}
    inputs = [name for name in (*per_event, *_label(config)) if name in table.columns]
    if not present or any(condition.column not in table.columns for condition in where):
        problems.tell()
    rows, remarks = _find_rows(table, present, inputs, where, problems)
    return OpenEvents(table, config, rows, present, inputs, by_place, remarks, text_items)


def require_rows(raw: pl.DataFrame, table: Table) -> None:
    if raw.is_empty():
        raise InputError(f"{table.path} holds no rows below its header; give a table with at least one event")


def read_input(values: pl.Series, path: Path, config: DataConfig) -> pl.Series:
    """Read the column of an input of the model: a number as Float64, another as categories."""
    if values.name in config.numbers:
        return numbers(values, path)
    what = "event feature" if values.name in config.event_features else "context feature"
    return categories(values, path, what=what)


def _find_rows(
    table: Table,
    present: dict[Role, str],
    inputs: Sequence[str],
    where: Sequence[Condition],
    problems: Problems,
) -> tuple[pl.LazyFrame, list[str]]:
    """Find the rows, with the columns that are there; return with them the remarks on the conditions.

    Raises:
        InputError: the columns cannot be read; the message lists the problems before, too.
    """
    named = [*present.values(), *inputs]
    with problems.collected():
        columns = [*named, *(condition.column for condition in where)]
        table.require_once(list(dict.fromkeys(columns)))
        lists = table.lists(list(dict.fromkeys(name for name in named if name != present.get(USER))))
        _require_lists_of_items(table, present, lists)
        return rows_where(table.rows(columns, lists), where, table.path)
    problems.tell()
    raise AssertionError


def _is_in_lists(table: Table, roles: dict[Role, str]) -> bool:
    """Return whether the order of lists stands for time: there is no column of times, and items are in lists."""
    once = table.columns.count(roles[ITEM]) == 1
    return once and roles[TIME] not in table.columns and bool(table.lists([roles[ITEM]]))


def _require_lists_of_items(table: Table, present: dict[Role, str], lists: list[str]) -> None:
    """Refuse lists beside single items: each would repeat its event."""
    item = present.get(ITEM)
    if not lists or item is None or item in lists:
        return
    if lists[0] == present.get(TIME):
        raise InputError(
            f"{table.path}: column {lists[0]!r} holds lists and column {item!r} does not; write one time a row, or the "
            "items as lists too"
        )
    raise InputError(
        f"{table.path}: column {lists[0]!r} holds lists beside single items; an input is one value an event: leave it "
        "out, or write one value a row"
    )


def _remarks_on_users(users: pl.Series, config: DataConfig) -> list[str]:
    if users.dtype != pl.String or config.text_ids or not users.str.contains(WHOLE).any():
        return []
    return [f"column {config.user_column!r} holds what may be numbers or text: all users are kept as text"]


def _remarks_on_order(table: Table, config: DataConfig, by_place: bool) -> list[str]:
    if not by_place or config.file_order or config.ragged:
        return []
    return [f"there is no column {config.time_column!r}: the order in the lists is taken for that of time"]


def _require_roles(table: Table, roles: dict[Role, str], config: DataConfig) -> None:
    missing = [role for role, name in roles.items() if name not in table.columns]
    if not missing:
        return
    if table.first.advice and (USER in missing or ITEM in missing):
        raise InputError(f"{table.paths[0]}: {table.first.advice}")
    names = ", ".join(repr(roles[role]) for role in missing)
    free = [name for name in table.columns if name not in {*roles.values(), config.label}]
    remedy = say_columns(missing, free, in_order=config.label is None)
    if table.first.is_text and table.first.uneven and not any(role.likely(table.columns) for role in ROLES):
        remedy += "; without a header, say --columns user_id,item_id,timestamp"
    raise InputError(f"{table.path} has no column {names}; it has {', '.join(table.columns)}; {remedy}")


def _require_context(names: Sequence[str], table: Table, users: Table | None) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        tables = [table, *([users] if users else [])]
        columns = "; ".join(f"{source.path} has {', '.join(source.columns)}" for source in tables)
        remedy = "" if users else "; a users' table is given with --users"
        raise InputError(f"no column {', '.join(map(repr, missing))} for an input; {columns}{remedy}")


def _label(config: DataConfig) -> tuple[str, ...]:
    return () if config.label is None else (config.label,)


def _require_label(config: DataConfig, table: Table) -> None:
    if config.label is not None and config.label not in table.columns:
        raise InputError(
            f"{table.path} has no column {config.label!r} of labels; it has {', '.join(table.columns)}; name the "
            "column of 0 and 1 with --label"
        )


def _require_conditions(table: Table, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in table.columns]:
        raise InputError(
            f"{table.path} has no column {', '.join(map(repr, missing))} for --where; it has {', '.join(table.columns)}"
        )
