"""Units: the files of the input, or spans of rows of longer ones; each has one shard of the output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bst.data.tables.parts import Part, parts_of
from bst.data.tables.sources.kinds import PARQUET, open_sources
from bst.data.tables.sources.source import Layout
from bst.errors import InputError, reason
from export.batch.settings import ScoreSettings

BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
DIGEST = 16  # hexadecimal digits of a shard's name


@dataclass(frozen=True)
class InputFile:
    """A Parquet file of the input.

    Attributes:
        path: where it lies.
        values: columns from the names of its folders (`country=nl`), as pairs.
        rows, bytes, changed_ns: as the file was when it was listed; `changed_ns` is its time of change.
        sha256: of its bytes.
    """

    path: str
    values: tuple[tuple[str, str | None], ...]
    rows: int
    bytes: int
    changed_ns: int
    sha256: str

    def require_unchanged(self) -> None:
        """Refuse a file that is another than was listed.

        Raises:
            InputError: its size or time of change is another.
        """
        facts = Path(self.path).stat()
        if (facts.st_size, facts.st_mtime_ns) != (self.bytes, self.changed_ns):
            raise InputError(f"{self.path} was changed while it was scored; give another --out for the new input")

    def scan(self) -> pl.LazyFrame:
        """Return its rows, not yet read, with the columns of its folders."""
        frame = pl.scan_parquet(self.path, glob=False, hive_partitioning=False)
        own = frame.collect_schema()
        return frame.with_columns(
            pl.lit(value, dtype=pl.String).alias(name) for name, value in self.values if name not in own
        )

    def read(self, columns: Sequence[str], start: int, rows: int) -> pl.DataFrame:
        """Read `columns` of a span of rows.

        Raises:
            InputError: the file is damaged, or lacks a column.
        """
        try:
            frame = self.scan().select(*dict.fromkeys(columns)).slice(start, rows).collect()
        except BROKEN as error:
            raise InputError(f"{self.path} cannot be read as Parquet: {reason(error)}") from None
        if len(frame) != rows:
            raise InputError(f"{self.path} has fewer rows than its footer states; write it again")
        return frame


@dataclass(frozen=True)
class Unit:
    """Rows `start` to `start + rows - 1` of a file, and the name of their shard."""

    file: InputFile
    start: int
    rows: int
    name: str

    def __str__(self) -> str:
        return f"rows {self.start:,} to {self.start + self.rows - 1:,} of {self.file.path}"


def list_files(path: Path) -> tuple[InputFile, ...]:
    """List the Parquet files of a path, folder or pattern, in order, and hash them. Those without rows are left out.

    Raises:
        InputError: one is no Parquet or is damaged, or none has a row.
    """
    parts = parts_of(path)
    try:
        kind, _ = open_sources([part.path for part in parts], Layout(()), path)
        if kind is not PARQUET:
            raise InputError(f"{path} is {kind.name}; write it as Parquet, or give events with --from-events")
        files = tuple(_listed(part) for part in parts)
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as Parquet: {reason(error)}") from None
    if not any(file.rows for file in files):
        raise InputError(f"{path} holds no rows; give a row a user")
    return tuple(file for file in files if file.rows)


def _listed(part: Part) -> InputFile:
    with part.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    facts = part.path.stat()
    frame = pl.scan_parquet(part.path, glob=False, hive_partitioning=False)
    rows = int(frame.select(pl.len()).collect().item())
    path = str(part.path.absolute())
    return InputFile(path, tuple(part.values.items()), rows, facts.st_size, facts.st_mtime_ns, digest)


def list_units(files: Sequence[InputFile], settings: ScoreSettings, bundle_sha256: str) -> tuple[Unit, ...]:
    """Cut files into units. The name of a shard follows from the content of the file, the rows, the bundle and the
    settings, and begins with the place of the unit, so that shards sorted by name are in the order of the input.
    """
    decisive = {"bundle": bundle_sha256, "settings": settings.model_dump(mode="json")}

    spans = [(file, start) for file in files for start in range(0, file.rows, settings.unit_rows)]
    digits = max(5, len(str(len(spans))))

    def name(place: int, file: InputFile, start: int) -> str:
        facts = {**decisive, "file": file.sha256, "folders": file.values, "start": start}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"part-{place:0{digits}d}-{digest[:DIGEST]}.parquet"

    return tuple(
        Unit(file, start, min(settings.unit_rows, file.rows - start), name(place, file, start))
        for place, (file, start) in enumerate(spans)
    )


def input_sha256(files: Sequence[InputFile]) -> str:
    """Hash the input: the content of its files in order, and the columns of their folders."""
    facts = [(file.sha256, file.values) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
