"""Preparation: a table of events of any size becomes a folder that training maps, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import DataConfig
from bst.data.events import Events, OpenEvents, layout_of, open_events, require_rows
from bst.data.facts import TableFacts
from bst.data.interactions import Interactions, earlier_events, users_of
from bst.data.leaks import require_no_item_columns
from bst.data.prepared.arrays import ArrayFile, GrowingArray
from bst.data.prepared.columns import Columns, Facts
from bst.data.prepared.folder import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    VOCABULARY_FILE,
    Manifest,
    hash_of,
    refuse_prepared,
    shards_of,
)
from bst.data.prepared.frequent import frequent_items, of_frequent
from bst.data.prepared.readings import Staged, readings_of
from bst.data.prepared.runs import SortedRuns
from bst.data.sequences import Sequences, to_sequences
from bst.data.tables.problems import Problems
from bst.data.tables.table import Table
from bst.data.tables.times import span, to_seconds
from bst.data.users import names_of_users, open_users
from bst.errors import InputError
from bst.system.files import require_new, staged_folder, to_json, write_atomically

PIECE_ROWS = 2**22  # rows of three columns that memory holds, a few times over; fewer of more columns


def prepare(places: Sequence[Path], config: DataConfig, out: Path, users: Path | None = None) -> Manifest:
    """Sort a table of events by user and time, and write it as the folder `out`, or nothing at all.

    The table is read in pieces of about `PIECE_ROWS` rows, which are sorted and written; then the rows of a stretch of
    users at a time are joined from all pieces. Memory holds a few such pieces, the distinct items and categories, the
    distinct users where they are text, the history of the most active user, and the users' table. The disk of `out`
    holds the rows twice for the time being.

    Args:
        places: files, folders or patterns, read as one table.
        config: how it is read. `label` needs the whole table.
        users: the users' table.

    Raises:
        InputError: `out` exists, a table cannot be read, or a setting needs the whole table.
        OSError: the disk is full.
    """
    require_new(out, "the prepared data")
    for place in places:
        refuse_prepared(place, "bst prepare")
    _require_by_pieces(config)
    table, users_table = Table(places, layout_of(config)), None if users is None else open_users(users, config)
    problems, of_users = Problems(table.path), names_of_users(users_table, config)
    inputs = [name for name in (*config.context, *config.event_features, *config.numbers) if name not in of_users]
    opened = open_events(table, users_table, config, inputs, problems)
    problems.tell()
    piece_rows = max(3 * PIECE_ROWS // max(len(opened.columns), 3), 1)
    with staged_folder(out, "the prepared data") as stage:
        runs, columns, facts = SortedRuns(stage, "run"), Columns(opened, users_table), Facts()
        every_row_stays = not (config.drop_repeats or config.min_count)
        for events in _pieces(opened, stage / "rows.arrow", piece_rows):
            facts.add(events)
            rows = pl.DataFrame({**events.columns, "time": events.times})
            runs.add(rows)
            if every_row_stays:
                columns.add(rows)
        if not every_row_stays:
            runs = _reduced(runs, columns, facts, piece_rows)
        columns.require_sound()
        of_events = ([name for name in names if name not in of_users] for names in (config.context, config.numbers))
        require_no_item_columns(runs.some, columns.num_rows, *of_events)
        writer = Writer(stage, columns)
        for rows in runs.ranges(piece_rows):
            if every_row_stays:
                facts.mark(rows)
            writer.add(rows)
        runs.remove()
        return writer.end(facts)


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


def _require_by_pieces(config: DataConfig) -> None:
    if config.label is not None:
        raise InputError(
            f"--label {config.label} is not for prepared data: a log of impressions is split by the times of all "
            "users; leave it out, or train from the table"
        )


class Writer:
    """The folder of prepared data, written a stretch of users at a time."""

    def __init__(self, stage: Path, columns: Columns) -> None:
        self.stage, self.columns, self.config = stage, columns, columns.config
        self.vocabularies, self.clock = columns.vocabularies, columns.clock
        self.arrays: dict[str, GrowingArray] = {}
        self.num_events = 0
        self._append("offsets", np.zeros(1, dtype=np.int64))

    def add(self, rows: pl.DataFrame) -> None:
        """Write the rows of the next users, sorted by user and time."""
        events, times, listed = rows.drop("time"), rows["time"], self.columns.users
        if self.config.split_at:
            earlier = earlier_events(events["user"], times, self.config.split_at, self.config.time_format)
            self._append("before", earlier.counts)
        seconds = None
        if self.clock is not None:
            seconds = to_seconds(times, self.columns.path, self.config.time_column)[0]
        config, no_facts = self.config, TableFacts(0, "", 0, 0, dropped=False)
        users = listed.joined(users_of(events)) if listed else users_of(events)
        interactions = Interactions(
            *(events, users, config.context, no_facts, None, config.event_features, config.numbers, seconds)
        )
        sequences = to_sequences(interactions, self.vocabularies)
        self._append(
            "offsets",
            sequences.offsets[1:] + self.arrays["items"].rows if "items" in self.arrays else sequences.offsets[1:],
        )
        for name, values in {"items": sequences.items, "context": sequences.context, **sequences.beside}.items():
            self._append(name, values)

    def end(self, facts: Facts) -> Manifest:
        """Complete the arrays, and write the vocabularies and the manifest."""
        by_place, listed = self.columns.opened.by_place, self.columns.users
        for array in self.arrays.values():
            array.close()
        files = {name: ArrayFile(self.stage / f"{name}.npy") for name in self.arrays}
        offsets = files["offsets"].read()
        items = np.broadcast_to(np.zeros(1, np.int32), (int(offsets[-1]),))
        shards = shards_of(Sequences(items, offsets, np.zeros((len(offsets) - 1, 0), np.int32)), files)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            data=self.config,
            of_users=tuple(listed.names) if listed else (),
            num_users=len(offsets) - 1,
            num_events=int(offsets[-1]),
            num_rows=facts.num_rows,
            span="in the order of the file" if by_place else span(facts.reach),
            repeats=facts.repeats,
            ties=facts.ties,
            remarks=(*facts.remarks, *(listed.remarks(len(offsets) - 1) if listed else ())),
            clock=self.clock,
            vocabulary_sha256=hash_of(self.vocabularies),
            shards=shards,
        )
        write_atomically(self.stage / VOCABULARY_FILE, json.dumps(self.vocabularies.to_dict(), ensure_ascii=False))
        write_atomically(self.stage / MANIFEST_FILE, to_json(manifest.model_dump(mode="json")))
        return manifest

    def _append(self, name: str, values: NDArray[Any]) -> None:
        if name not in self.arrays:
            self.arrays[name] = GrowingArray(self.stage / f"{name}.npy", values)
        self.arrays[name].append(values)
