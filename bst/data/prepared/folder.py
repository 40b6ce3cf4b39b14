"""The folder of prepared data: what `bst prepare` writes and `bst train` maps.

prepared.json      settings of the table, sizes, facts, and the hashes of each shard
vocabulary.json    raw ids of items and categories, in the order of their indices
items.npy          int32 [num_events], indices from 1, by user and then by time
offsets.npy        int64 [num_users + 1], where the events of each user begin
context.npy        int32 [num_events, num_context], or [num_users, 0] without context
events.npy         int32 [num_events, num_event_features], where there are any
event_time.npy     int64 [num_events], seconds since 1970, where the times are a clock
numbers.npy        float32 [num_events, num_numbers], where there are any
before.npy         int64 [num_users], how many events of each user come before `split_at`, where that is set
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from bst.config import EVENT_TIME, DataConfig, Frozen
from bst.data.facts import TableFacts
from bst.data.interactions import Earlier
from bst.data.prepared.arrays import ArrayFile
from bst.data.sequences import Sequences
from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from bst.system.files import DATA_BYTES, read_json
from bst.system.validation import validated

SCHEMA_VERSION = 1
MANIFEST_FILE, VOCABULARY_FILE = "prepared.json", "vocabulary.json"
WHAT = "prepared data (a folder that `bst prepare` writes)"
AGAIN = "prepare the data again"
DTYPES = {
    "items": "int32",
    "offsets": "int64",
    "context": "int32",
    "events": "int32",
    EVENT_TIME: "int64",
    "numbers": "float32",
    "before": "int64",
}
# Settings of the items' table, which `bst train` reads.
ITEM_SETTINGS = ("items_key", "items_columns", "name_column", "item_features", "item_numbers", "value_separator")


class Shard(Frozen):
    """A stretch of users.

    Attributes:
        users, events: the first, and one past the last.
        sha256: of the rows of each array, by its name.
    """

    users: tuple[int, int]
    events: tuple[int, int]
    sha256: dict[str, str]


class Manifest(Frozen):
    """The content of `prepared.json`.

    Attributes:
        data: how the table was read.
        of_users: the context features and numbers that belong to the user.
        num_rows, span, repeats, ties, remarks: those of `TableFacts`, before repeats were left out.
        clock: how its times were read as seconds, in words; None where they are no clock.
        vocabulary_sha256: `hash_of` the vocabularies.
    """

    schema_version: int
    data: DataConfig
    of_users: tuple[str, ...] = ()
    num_users: int
    num_events: int
    num_rows: int
    span: str
    repeats: int
    ties: int
    remarks: tuple[str, ...]
    clock: str | None
    vocabulary_sha256: str
    shards: tuple[Shard, ...]

    @property
    def event_context(self) -> tuple[str, ...]:
        """The context features and numbers that change from event to event."""
        return tuple(name for name in (*self.data.context, *self.data.numbers) if name not in self.of_users)

    def facts(self, *, times: bool) -> TableFacts:
        """Return the facts of the table, with the remark on its times where they are read."""
        remarks = (*self.remarks, *([self.clock] if times and self.clock else []))
        sizes = (self.num_rows, self.span, self.repeats, self.ties)
        return TableFacts(*sizes, self.data.drop_repeats, remarks)


@dataclass(frozen=True)
class Prepared:
    """Prepared data, whose files are as they were written; see `open_prepared`."""

    path: Path
    manifest: Manifest
    vocabularies: Vocabularies
    files: Mapping[str, ArrayFile]

    @property
    def earlier(self) -> Earlier | None:
        """The number of each user's events before `split_at`."""
        split_at = self.manifest.data.split_at
        return None if split_at is None else Earlier(split_at, self.files["before"].read())

    def settings(self, chosen: DataConfig) -> DataConfig:
        """Return how the table was read, with the settings of the items' table from those that the user chose.

        Raises:
            InputError: the user chose another setting of the table.
        """
        data = self.manifest.data
        names = chosen.model_fields_set
        if others := [
            name for name in sorted(names - {*ITEM_SETTINGS}) if getattr(chosen, name) != getattr(data, name)
        ]:
            pairs = ", ".join(f"{name}={getattr(data, name)!r}, not {getattr(chosen, name)!r}" for name in others)
            raise InputError(f"{self.path} was prepared with {pairs}; leave it out, or prepare the data again")
        return data.model_copy(update={name: getattr(chosen, name) for name in ITEM_SETTINGS if name in names})

    def sequences(self, *, times: bool) -> Sequences:
        """Map the arrays; memory holds the offsets, and what is being read.

        Args:
            times: with the times of events.

        Raises:
            InputError: the data has none.
        """
        if times and self.manifest.clock is None:
            raise InputError(
                f"{self.path} has no times that are a clock, which a model of event times needs; leave out event_times"
            )
        names = [name for name in ("events", EVENT_TIME, "numbers") if name in self.files]
        names = [name for name in names if name != EVENT_TIME or times]
        mapped = {name: self.files[name].mapped() for name in ("items", "context", *names)}
        releases = [release for _, release in mapped.values()]

        def release() -> None:
            for each in releases:
                each()

        arrays = {name: array for name, (array, _) in mapped.items()}
        beside = {name: arrays[name] for name in names}
        return Sequences(arrays["items"], self.offsets, arrays["context"], beside, release)

    @cached_property
    def offsets(self) -> Any:
        return self.files["offsets"].read()


def is_prepared(path: Path) -> bool:
    return (path / MANIFEST_FILE).is_file()


def refuse_prepared(path: Path, command: str) -> None:
    """Refuse prepared data where a table is wanted.

    Raises:
        InputError: `path` is prepared data.
    """
    if is_prepared(path):
        raise InputError(f"{path} is prepared data, which has no raw events; give {command} the table itself")


def open_prepared(path: Path) -> Prepared:
    """Open prepared data, and hold each shard to its hashes.

    Raises:
        InputError: a file is missing or is not as `bst prepare` wrote it; the message names the shard.
    """
    manifest = validated(Manifest, _of_this_version(path), str(path / MANIFEST_FILE))
    vocabularies = Vocabularies.from_dict(read_json(path / VOCABULARY_FILE, WHAT, DATA_BYTES))
    if hash_of(vocabularies) != manifest.vocabulary_sha256:
        raise InputError(f"{path / VOCABULARY_FILE} is not as `bst prepare` wrote it; {AGAIN}")
    names = _names_of(manifest)
    files = {name: ArrayFile(path / f"{name}.npy") for name in names}
    _require_shapes(manifest, files)
    _require_whole(path, manifest, files)
    return Prepared(path, manifest, vocabularies, files)


def hash_of(vocabularies: Vocabularies) -> str:
    """Compute the sha256 of vocabularies, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(vocabularies.to_dict()).encode()).hexdigest()


def shards_of(sequences: Sequences, files: Mapping[str, ArrayFile]) -> tuple[Shard, ...]:
    """Hash the arrays, shard by shard."""
    shards, num_events = [], len(sequences.items)
    for first, last in pairwise(sequences.shards.tolist()):
        users, events = (first, last), (int(sequences.offsets[first]), int(sequences.offsets[last]))
        sha256 = {name: file.sha256(*_rows(name, file, users, events, num_events)) for name, file in files.items()}
        shards.append(Shard(users=users, events=events, sha256=sha256))
    return tuple(shards)


def _rows(
    name: str, file: ArrayFile, users: tuple[int, int], events: tuple[int, int], num_events: int
) -> tuple[int, int]:
    """Return the rows of a shard, whose array has a row an event or a row a user."""
    if name == "offsets":
        return users[0], users[1] + 1
    return events if file.shape[0] == num_events else users


def _of_this_version(path: Path) -> Any:
    values = read_json(path / MANIFEST_FILE, WHAT)
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path / MANIFEST_FILE} has schema_version {version!r}, and this release reads {SCHEMA_VERSION}; {AGAIN}"
        )
    return values


def _names_of(manifest: Manifest) -> list[str]:
    data = manifest.data
    optional = {
        "events": bool(data.event_features),
        EVENT_TIME: manifest.clock is not None,
        "numbers": bool(data.numbers),
        "before": data.split_at is not None,
    }
    return ["items", "offsets", "context", *(name for name, is_there in optional.items() if is_there)]


def _require_shapes(manifest: Manifest, files: Mapping[str, ArrayFile]) -> None:
    data, num_events, num_users = manifest.data, manifest.num_events, manifest.num_users

    def rows_for(names: Sequence[str]) -> int:
        return num_events if {*names} & {*manifest.event_context} else num_users

    shapes: dict[str, tuple[int, ...]] = {
        "items": (num_events,),
        "offsets": (num_users + 1,),
        "context": (rows_for(data.context), len(data.context)),
        "events": (num_events, len(data.event_features)),
        EVENT_TIME: (num_events,),
        "numbers": (rows_for(data.numbers), len(data.numbers)),
        "before": (num_users,),
    }
    for name, file in files.items():
        if (file.shape, str(file.dtype)) != (shapes[name], DTYPES[name]):
            raise InputError(
                f"{file.path} holds {file.dtype} {list(file.shape)}, not {DTYPES[name]} {list(shapes[name])}; {AGAIN}"
            )


def _require_whole(path: Path, manifest: Manifest, files: Mapping[str, ArrayFile]) -> None:
    user = event = 0
    for place, shard in enumerate(manifest.shards):
        if (shard.users[0], shard.events[0]) != (user, event) or set(shard.sha256) != set(files):
            raise InputError(f"{path / MANIFEST_FILE}: shard {place} does not follow the one before; {AGAIN}")
        user, event = shard.users[1], shard.events[1]
        for name, file in files.items():
            rows = _rows(name, file, shard.users, shard.events, manifest.num_events)
            if file.sha256(*rows) != shard.sha256[name]:
                raise InputError(
                    f"{file.path} is not as `bst prepare` wrote it, in shard {place} (users {shard.users[0]:,} to "
                    f"{shard.users[1]:,}); {AGAIN}"
                )
    if (user, event) != (manifest.num_users, manifest.num_events):
        raise InputError(
            f"{path / MANIFEST_FILE}: its shards have {event:,} of {manifest.num_events:,} events; {AGAIN}"
        )
