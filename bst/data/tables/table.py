"""A table: the parts of a file, folder or pattern as one set of named columns. Only needed columns are read."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from bst.data.tables.lists import exploded, list_columns, parsed
from bst.data.tables.packed import require_modest_rows, require_modest_text
from bst.data.tables.parts import Part, parts_of
from bst.data.tables.sources.frames import Frame, open_frame
from bst.data.tables.sources.kinds import DATAFRAME, PARQUET, TEXT, open_sources
from bst.data.tables.sources.parquet import count_values
from bst.data.tables.sources.source import Layout, Source
from bst.errors import InputError, reason

BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, UnicodeDecodeError, zlib.error)
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
BATCH_ROWS = 2**16  # of an Arrow file, that are read together
SUSPICIOUS = "\0suspicious"  # a column that marks rows which may have too few or too many fields


class Table:
    """Columns of a table by name.

    Args:
        place: a file, folder or pattern, several of these one after another, or a DataFrame.

    Attributes:
        path: where it lies, the first of several; of a DataFrame, its name for messages.
        columns: names, those that folders give at the end.
        remarks: guesses and omissions so far.
    """

    def __init__(self, place: Path | Sequence[Path] | Frame, layout: Layout) -> None:
        places = [Path(place.name)] if isinstance(place, Frame) else [place] if isinstance(place, Path) else place
        if twice := [place for number, place in enumerate(places) if place in places[:number]]:
            raise InputError(f"{twice[0]} is named twice; name each file, folder or pattern once")
        self.path = path = places[0] if len(places) == 1 else Path(f"{places[0]} and {len(places) - 1} more")
        self.parts = [Part(path)] if isinstance(place, Frame) else [part for each in places for part in parts_of(each)]
        self.paths = [part.path for part in self.parts]
        with self._refusing():
            if isinstance(place, Frame):
                kind, self.sources = DATAFRAME, [open_frame(place, layout)]
            else:
                kind, self.sources = open_sources(self.paths, layout, path)
            self.is_parquet = kind is PARQUET
            if layout.ragged and kind is not TEXT:
                raise InputError(
                    f"{path} is {kind.name}, and --ragged is for lines of text; leave it out, or --no-ragged"
                )
            if kind not in (PARQUET, DATAFRAME):
                require_modest_text(self.paths, path)
        self.first = self.sources[0]
        self.columns = [*self.first.columns, *(name for name in self.parts[0].values if name not in self.first.columns)]
        remarks = [f"{len(self.parts):,} files are read as one table"] if len(self.parts) > 1 else []
        remarks += [remark for source in self.sources for remark in source.remarks]
        if kind is not TEXT and (layout.columns or not layout.header or layout.separator):
            remarks.append(f"columns have names in {kind.name}: --separator, --columns and --no-header are not used")
        self.remarks = list(dict.fromkeys(remarks))

    def require_once(self, columns: Sequence[str]) -> None:
        """Refuse columns that are there twice, or that a part lacks.

        Raises:
            InputError: the message has the names.
        """
        if twice := [name for name in columns if self.columns.count(name) > 1]:
            raise InputError(
                f"{self.path} has more than one column {', '.join(map(repr, twice))}; keep one of each name"
            )
        for part, source in zip(self.parts, self.sources, strict=True):
            names = {*source.columns, *part.values}
            if absent := [name for name in columns if name not in names]:
                raise InputError(
                    f"{part.path} has no column {', '.join(map(repr, absent))}, which {self.paths[0]} has; "
                    "give parts with the same columns"
                )

    def rows(self, columns: Sequence[str], lists: Sequence[str] = ()) -> pl.LazyFrame:
        """Return `columns`, not yet read; where some are `lists`, there is a row an element.

        Raises:
            InputError: a column is not there once, or the lists of a row are of different lengths.
        """
        distinct = list(dict.fromkeys(columns))
        self.require_once(distinct)
        with self._refusing():
            frame = self._joined(distinct)
            if self.is_parquet:
                count = frame.select(pl.len()).collect().item()
                require_modest_rows(self.paths, self.path, count * len(distinct), f"{count:,} rows")
            if lists:
                frame, remark = exploded(parsed(frame, lists, self.first, self.path), lists, self.path)
                self.remarks.append(remark)
        return frame

    def lists(self, columns: Sequence[str]) -> list[str]:
        """Name those of `columns` that hold lists.

        Raises:
            InputError: a column is not there once, or there are more values in lists than memory may hold.
        """
        self.require_once(columns)
        with self._refusing():
            frame = self._joined(list(columns))
            if self.is_parquet:
                typed = [name for name in columns if isinstance(frame.collect_schema()[name], pl.List | pl.Array)]
                values = sum(count_values(path, typed) for path in self.paths) if typed else 0
                require_modest_rows(self.paths, self.path, values, f"{values:,} values in lists")
            return list_columns(frame, columns, self.first)

    def _joined(self, columns: list[str]) -> pl.LazyFrame:
        both = zip(self.parts, self.sources, strict=True)
        return pl.concat([_rows(part, source, columns) for part, source in both], how="vertical_relaxed")

    def collect(self, frame: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
        """Read `columns` of `frame`. A column of text stays as it is written, but for blanks around its cells, unless
        all its values are plain integers.

        A pass over the file in pieces finds the columns of integers first, so that their text is never held. Rows
        without anything in them are left out.
        """
        with self._refusing():
            return self._cleaned(frame, columns).collect(engine="streaming")

    def write(self, frame: pl.LazyFrame, columns: Sequence[str], path: Path) -> None:
        """Write what `collect` reads as an Arrow file, a piece at a time.

        Raises:
            OSError: the file cannot be written.
        """
        path.touch()  # of an error of opening it, polars says no more than of a table that is missing
        with self._refusing():
            self._cleaned(frame, columns).sink_ipc(path, compression="uncompressed", record_batch_size=BATCH_ROWS)

    def _cleaned(self, frame: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
        distinct = list(dict.fromkeys(columns))
        texts = [name for name in distinct if frame.collect_schema()[name] == pl.String]
        if not texts:
            return frame.select(distinct)
        facts = self._look_at(frame, distinct, texts)
        if facts[SUSPICIOUS] > facts["blank"]:
            self._require_even()
        if facts["blank"]:
            frame = frame.filter(~_is_blank(distinct, texts))
            blank = facts["blank"]
            self.remarks.append(f"{blank:,} blank lines are left out" if blank > 1 else "1 blank line is left out")
        if padded := [name for name in texts if facts[f"{name} padded"]]:
            self.remarks.append(f"blanks around the values of column {', '.join(map(repr, padded))} are left out")
        read = {name: pl.col(name).str.strip_chars() if name in padded else pl.col(name) for name in texts}
        read |= {name: read[name].cast(pl.Int64, strict=False) for name in texts if facts[f"{name} integers"]}
        return frame.select(read.get(name, pl.col(name)).alias(name) for name in distinct)

    def _look_at(self, frame: pl.LazyFrame, columns: list[str], texts: list[str]) -> dict[str, int]:
        bare = {name: pl.col(name).str.strip_chars() for name in texts}
        facts = {f"{name} padded": (bare[name] != pl.col(name)).sum() for name in texts}
        for name, value in bare.items():
            as_written = value.cast(pl.Int64, strict=False).cast(pl.String) == value
            facts[f"{name} integers"] = (as_written.fill_null(False) | value.is_null()).all()
        facts[SUSPICIOUS] = pl.col(SUSPICIOUS).sum()
        facts["blank"] = _is_blank(columns, texts).sum()
        return frame.select(**facts).collect(engine="streaming").row(0, named=True)

    def _require_even(self) -> None:
        for path, source in zip(self.paths, self.sources, strict=True):
            if source.uneven and (problem := source.uneven()):
                raise InputError(f"{path}: {problem}")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            if number := _number_of_writing(error):
                raise OSError(number, os.strerror(number)) from None
            for path, source in zip(self.paths, getattr(self, "sources", ()), strict=False):
                with suppress(*BROKEN):  # a packed file may be cut
                    if problem := source.problem():
                        raise InputError(f"{path}: {problem}") from None
            if isinstance(error, EOFError) or "unexpected end of file" in str(error):  # of gzip
                raise InputError(f"{self.path} is cut short; copy or download it again") from None
            raise InputError(f"{self.path} cannot be read as a table: {reason(error)}") from None


def _number_of_writing(error: BaseException) -> int | None:
    """Return the number of an error that only a writer meets: polars raises those of reading and writing alike, with
    the number in the text.
    """
    text = str(error)
    return next((number for number in OF_WRITING if f"(os error {number})" in text), None)


def _is_blank(columns: list[str], texts: list[str]) -> pl.Expr:
    return pl.all_horizontal(
        (pl.col(name).str.strip_chars() == "").fill_null(True) if name in texts else pl.col(name).is_null()
        for name in columns
    )


def _rows(part: Part, source: Source, columns: list[str]) -> pl.LazyFrame:
    from_folders = [
        pl.lit(part.values[name], dtype=pl.String).alias(name) for name in columns if name not in source.columns
    ]
    own = [name for name in columns if name in source.columns]
    return source.frame.select(*own, *from_folders, source.suspicious.alias(SUSPICIOUS))
