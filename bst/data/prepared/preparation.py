"""Preparation: a table of events of any size becomes a folder that training maps, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.config import DataConfig
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
from bst.data.prepared.sorting import open_columns, sort_events
from bst.data.sequences import Sequences, to_sequences
from bst.data.tables.times import span, to_seconds
from bst.data.users import names_of_users
from bst.errors import InputError
from bst.system.files import require_new, staged_folder, to_json, write_atomically


def prepare(places: Sequence[Path], config: DataConfig, out: Path, users: Path | None = None) -> Manifest:
    """Sort a table of events by user and time, and write it as the folder `out`, or nothing at all.

    Memory and the disk of `out` hold what `sort_events` says.

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
    columns = open_columns(places, config, users)
    with staged_folder(out, "the prepared data") as stage:
        events = sort_events(columns, stage)
        of_users = names_of_users(columns.users_table, config)
        of_events = ([name for name in names if name not in of_users] for names in (config.context, config.numbers))
        require_no_item_columns(events.runs.some, columns.num_rows, *of_events)
        writer = Writer(stage, columns)
        for rows in events.stretches():
            writer.add(rows)
        events.runs.remove()
        return writer.end(events.facts)


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
