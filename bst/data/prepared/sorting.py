"""A table of events of any size, sorted by user and time in files, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bst.config import DataConfig
from bst.data.events import Events, OpenEvents, layout_of, open_events, require_rows
from bst.data.prepared.columns import Columns, Facts
from bst.data.prepared.frequent import frequent_items, of_frequent
from bst.data.prepared.readings import Staged, readings_of
from bst.data.prepared.runs import SortedRuns
from bst.data.tables.problems import Problems
from bst.data.tables.table import Table
from bst.data.users import names_of_users, open_users

PIECE_ROWS = 2**22  # rows of three columns that memory holds, a few times over; fewer of more columns


@dataclass(frozen=True)
class SortedEvents:
    """Events in files, by user and then by time; events that tie keep the order of the table.

    Attributes:
        runs: the files.
        columns: types, ids, and first and last time, over all events that stay.
        facts: of the table; those on repeats and ties are whole when `stretches` has ended.
        piece_rows: rows that memory holds.
    """

    runs: SortedRuns
    columns: Columns
    facts: Facts
    piece_rows: int

    def stretches(self) -> Iterator[pl.DataFrame]:
        """Yield the events of the next users, about `piece_rows` at a time: `user`, `item`, the inputs, and `time`."""
        for rows in self.runs.ranges(self.piece_rows):
            if _keeps_every_row(self.columns.config):
                self.facts.mark(rows)
            yield rows


def open_columns(
    places: Sequence[Path], config: DataConfig, users: Path | None = None, *, text_items: bool = False
) -> Columns:
    """Open a table of events, and the users' table, without reading their rows.

    Args:
        places: files, folders or patterns, read as one table.
        config: how it is read, without `label`.
        users: the users' table.
        text_items: whether ids of items are text anyhow.

    Raises:
        InputError: a table cannot be opened, or lacks a column.
    """
    table, users_table = Table(places, layout_of(config)), None if users is None else open_users(users, config)
    problems, of_users = Problems(table.path), names_of_users(users_table, config)
    inputs = [name for name in (*config.context, *config.event_features, *config.numbers) if name not in of_users]
    opened = open_events(table, users_table, config, inputs, problems, text_items=text_items)
    problems.tell()
    return Columns(opened, users_table)


def sort_events(columns: Columns, folder: Path) -> SortedEvents:
    """Read what was opened, and sort it in files of `folder`.

    The table is read in pieces of about `PIECE_ROWS` rows, which are sorted and written; then the rows of a stretch of
    users at a time are joined from all pieces. Memory holds a few such pieces, the distinct items and categories, the
    distinct users where they are text, the history of the most active user, and the users' table. The disk holds the
    rows twice for the time being.

    Raises:
        InputError: a table cannot be read, or an input has no value.
        OSError: the disk is full.
    """
    opened, config, facts = columns.opened, columns.config, Facts()
    piece_rows = max(3 * PIECE_ROWS // max(len(opened.columns), 3), 1)
    runs = SortedRuns(folder, "run")
    for events in _pieces(opened, folder / "rows.arrow", piece_rows):
        facts.add(events)
        rows = pl.DataFrame({**events.columns, "time": events.times})
        runs.add(rows)
        if _keeps_every_row(config):
            columns.add(rows)
    if not _keeps_every_row(config):
        runs = _reduced(runs, columns, facts, piece_rows)
    columns.require_sound()
    return SortedEvents(runs, columns, facts, piece_rows)


def _keeps_every_row(config: DataConfig) -> bool:
    return not (config.drop_repeats or config.min_count)


def _pieces(opened: OpenEvents, path: Path, piece_rows: int) -> Iterator[Events]:
    """Read the events a piece at a time, by way of a file at `path`."""
    opened.table.write(opened.rows, opened.columns, path)
    rows = Staged(path)
    require_rows(rows.slice(0, 1).collect(), opened.table)
    problems = Problems(opened.table.path)
    readings = readings_of(opened, rows, problems)
    for first in range(0, rows.num_rows, piece_rows):
        raw = rows.slice(first, piece_rows).collect()
        yield opened.read(raw, problems, readings=readings, first=first)
    path.unlink()


def _reduced(runs: SortedRuns, columns: Columns, facts: Facts, piece_rows: int) -> SortedRuns:
    """Leave out repeats, and then what is rare, before anything is learnt of the columns."""
    config, least = columns.config, columns.config.min_count

    def rewritten(name: str, keep: Callable[[pl.DataFrame], pl.DataFrame], *, last: bool) -> SortedRuns:
        kept = SortedRuns(runs.folder, name)
        for rows in runs.ranges(piece_rows):
            some = keep(rows)
            kept.add(some)
            if last:
                columns.add(some)
        runs.remove()
        return kept

    if config.drop_repeats:
        runs = rewritten("distinct", lambda rows: rows.filter(~facts.mark(rows)), last=least is None)
    if least is None:
        return runs
    items, remark = frequent_items(runs, least, piece_rows, columns.path)
    facts.remarks[remark] = None

    def keep_frequent(rows: pl.DataFrame) -> pl.DataFrame:
        if not config.drop_repeats:
            facts.mark(rows)
        return of_frequent(rows, items, least)

    return rewritten("frequent", keep_frequent, last=True)
