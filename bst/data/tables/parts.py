"""Parts of a table: one file, or those of a folder or pattern, in order, with columns from the names of folders."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from bst.errors import InputError

MOST = 100_000
IGNORED = ("_", ".")  # how names begin that are no parts: _SUCCESS, _metadata, .part-0.crc
NULL = "__HIVE_DEFAULT_PARTITION__"
# Folders whose files are not all of the table: some are of older versions, or of rows that were deleted.
VERSIONED = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table", "metadata/*.metadata.json": "an Iceberg table"}


@dataclass(frozen=True)
class Part:
    """A file, and the columns from the names of its folders (`date=2019-10-01`); None is a missing value."""

    path: Path
    values: dict[str, str | None] = field(default_factory=dict)


def parts_of(path: Path) -> list[Part]:
    """List the files of a table, sorted by name and numbers in names by value; a path that exists is never a pattern.

    Raises:
        InputError: there is no file, a part is no plain file, or a folder is a table of a kind that has versions.
    """
    if path.is_file():
        return [Part(path)]
    pattern = str(path)
    if path.is_dir():
        files, root, what = _files(path), path, "no part of a table; give a folder of .parquet, .csv or .jsonl files"
    elif not os.path.lexists(path) and glob.has_magic(pattern):
        matches = (Path(match) for match in glob.iglob(pattern, recursive=True))
        files = (file for match in matches if not _ignored(match) for file in _below(match))
        steps = path.parts
        root = Path(*steps[: next(place for place, step in enumerate(steps) if glob.has_magic(step))])
        what = "no file; give the pattern of a table's parts"
    else:
        raise InputError(f"{path} is not a file; give the path of a table")
    parts = [Part(file, _partition(file.relative_to(root).parts[:-1])) for file in islice(files, MOST + 1)]
    if len(parts) > MOST:
        raise InputError(f"{path} holds more than {MOST:,} files, as no table of events does")
    if not parts:
        raise InputError(f"{path} {'holds' if path.is_dir() else 'matches'} {what}")
    if others := [part.path for part in parts if not part.path.is_file()]:
        raise InputError(f"{others[0]} is not a file; give a folder or pattern of files alone")
    by_path = {part.path: part for part in parts if part.path.stat().st_size}  # two patterns may match one
    return sorted(by_path.values(), key=_natural) or parts[:1]


def _below(path: Path) -> Iterator[Path]:
    return _files(path) if path.is_dir() else iter([path])


def _files(folder: Path) -> Iterator[Path]:
    for sign, what in VERSIONED.items():
        if any(folder.glob(sign)):
            raise InputError(f"{folder} is {what}, some of whose files are outdated; write it as Parquet and give that")
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(IGNORED)]
        yield from (Path(place, name) for name in names if not name.startswith(IGNORED))


def _ignored(path: Path) -> bool:
    return path.name.startswith(IGNORED)


def _partition(folders: tuple[str, ...]) -> dict[str, str | None]:
    pairs = (name.split("=", 1) for name in folders if "=" in name)
    return {unquote(name): None if value == NULL else unquote(value) for name, value in pairs}


def _natural(part: Part) -> list[tuple[int, str]]:
    """Sort `part-10` behind `part-2`."""
    pieces = re.split(r"([0-9]+)", str(part.path))
    return [(int(piece), "") if place % 2 else (0, piece) for place, piece in enumerate(pieces)]
