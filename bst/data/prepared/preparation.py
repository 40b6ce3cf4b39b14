"""Preparation: a table of events of any size becomes a folder that training maps, in bounded memory."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import DataConfig
from bst.data.events import Events, OpenEvents, layout_of, open_events, require_rows
from bst.data.facts import TableFacts, mark_repeats
from bst.data.interactions import Interactions, earlier_events, users_of
from bst.data.leaks import require_no_item_columns
from bst.data.prepared.arrays import ArrayFile, GrowingArray
from bst.data.prepared.folder import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    VOCABULARY_FILE,
    Manifest,
    hash_of,
    refuse_prepared,
    shards_of,
)
from bst.data.prepared.readings import Staged, readings_of
from bst.data.prepared.runs import SortedRuns
from bst.data.sequences import Sequences, to_sequences
from bst.data.tables.problems import Problems
from bst.data.tables.table import Table
from bst.data.tables.times import count_unknown, remark_on_dates, span, to_seconds
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import InputError
from bst.system.files import require_new, staged_folder, to_json, write_atomically

PIECE_ROWS = 2**22  # rows of three columns that memory holds, a few times over; fewer of more columns


def prepare(places: Sequence[Path], config: DataConfig, out: Path) -> Manifest:
    """Sort a table of events by user and time, and write it as the folder `out`, or nothing at all.

    The table is read in pieces of about `PIECE_ROWS` rows, which are sorted and written; then the rows of a stretch of
    users at a time are joined from all pieces. Memory holds a few such pieces, the distinct items and categories, the
    distinct users where they are text, and the history of the most active user. The disk of `out` holds the rows twice
    for the time being.

    Args:
        places: files, folders or patterns, read as one table.
        config: how it is read. `min_count` and `label` need the whole table.

    Raises:
        InputError: `out` exists, the table cannot be read, or a setting needs the whole table.
        OSError: the disk is full.
    """
    require_new(out, "the prepared data")
    for place in places:
        refuse_prepared(place, "bst prepare")
    _require_by_pieces(config)
    table = Table(places, layout_of(config))
    problems = Problems(table.path)
    inputs = (*config.context, *config.event_features, *config.numbers)
    of_users = "join a users' table to the events before"
    opened = open_events(table, None, config, inputs, problems, of_users=of_users)
    problems.tell()
    piece_rows = max(3 * PIECE_ROWS // max(len(opened.columns), 3), 1)
    with staged_folder(out, "the prepared data") as stage:
        runs, columns, facts = SortedRuns(stage, "run"), Columns(opened), Facts()
        for events in _pieces(opened, stage / "rows.arrow", piece_rows):
            facts.add(events)
            rows = pl.DataFrame({**events.columns, "time": events.times})
            runs.add(rows)
            if not config.drop_repeats:
                columns.add(rows)
        if config.drop_repeats:
            runs = _without_repeats(runs, columns, facts, piece_rows)
        columns.require_sound()
        require_no_item_columns(runs.some, facts.num_rows, config.context, config.numbers)
        writer = Writer(stage, columns)
        for rows in runs.ranges(piece_rows):
            if not config.drop_repeats:
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


def _without_repeats(runs: SortedRuns, columns: Columns, facts: Facts, piece_rows: int) -> SortedRuns:
    """Leave out the repeats, before anything is learnt of the columns."""
    distinct = SortedRuns(runs.folder, "distinct")
    for rows in runs.ranges(piece_rows):
        kept = rows.filter(~facts.mark(rows))
        columns.add(kept)
        distinct.add(kept)
    runs.remove()
    return distinct


def _require_by_pieces(config: DataConfig) -> None:
    reasons = {
        "label": "a log of impressions is split by the times of all users",
        "min_count": "which users and items stay depends on all events",
    }
    for name in (name for name in reasons if getattr(config, name) is not None):
        raise InputError(
            f"--{name.replace('_', '-')} {getattr(config, name)} is not for prepared data: {reasons[name]}; leave it "
            "out, or train from the table"
        )


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
    """The columns of the events over all pieces: their types, ids, and first and last time."""

    opened: OpenEvents
    dtypes: dict[str, pl.DataType] = field(default_factory=dict)
    ids: dict[str, Vocabulary] = field(default_factory=dict)
    several: dict[str, set[Any]] = field(default_factory=dict)
    reach: pl.Series = field(default_factory=lambda: pl.Series([]))
    unknown_times: int = 0

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
        self.reach = _reach(self.reach, rows["time"])
        self.unknown_times += count_unknown(rows["time"])

    def require_sound(self) -> None:
        """Refuse an input without a value, and warn of one with a single value."""
        for name, seen in self.several.items():
            kinds = {"event feature": self.config.event_features, "number": self.config.numbers}
            what = next((kind for kind, names in kinds.items() if name in names), "context feature")
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
        context, events = (
            {name: self.ids[name] for name in names} for names in (self.config.context, self.config.event_features)
        )
        return Vocabularies(self.ids["item"], context, events=events)

    def _require_type(self, name: str, dtype: pl.DataType) -> None:
        before = self.dtypes.setdefault(name, dtype)
        if dtype != before:
            column, _ = self.opened.readers()[name]
            raise InputError(
                f"{self.path}: column {column!r} is {before} in its first rows and {dtype} further down; write it as "
                "Parquet with one type"
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
        events, times = rows.drop("time"), rows["time"]
        if self.config.split_at:
            earlier = earlier_events(events["user"], times, self.config.split_at, self.config.time_format)
            self._append("before", earlier.counts)
        seconds = None
        if self.clock is not None:
            seconds = to_seconds(times, self.columns.path, self.config.time_column)[0]
        config, no_facts = self.config, TableFacts(0, "", 0, 0, dropped=False)
        interactions = Interactions(
            *(events, users_of(events), config.context, no_facts, None, config.event_features, config.numbers, seconds)
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
        by_place = self.columns.opened.by_place
        for array in self.arrays.values():
            array.close()
        files = {name: ArrayFile(self.stage / f"{name}.npy") for name in self.arrays}
        offsets = files["offsets"].read()
        items = np.broadcast_to(np.zeros(1, np.int32), (int(offsets[-1]),))
        shards = shards_of(Sequences(items, offsets, np.zeros((len(offsets) - 1, 0), np.int32)), files)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            data=self.config,
            num_users=len(offsets) - 1,
            num_events=int(offsets[-1]),
            num_rows=facts.num_rows,
            span="in the order of the file" if by_place else span(facts.reach),
            repeats=facts.repeats,
            ties=facts.ties,
            remarks=tuple(facts.remarks),
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
