"""Text as a source: CSV and its relatives, with a header or without, and lines of a user and then items."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from bst.data.tables.names import looks_like_data, names_columns, suggested_names
from bst.data.tables.packed import Head, plain_lines
from bst.data.tables.sources.quotes import rows_over_lines
from bst.data.tables.sources.separators import (
    COMMA,
    LINES,
    SEPARATORS,
    TAB,
    Separator,
    find_list_separator,
    find_separator,
    separator_named,
)
from bst.data.tables.sources.source import Layout, Source, as_utf8, in_shell, stripped
from bst.errors import InputError

RECBOLE = re.compile(r"(.+):(token|float|token_seq|float_seq)")
NO_HEADER = re.compile(r"sep=|#|%")  # of Excel, SNAP and KONECT
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SHOWN = 60  # characters of a line
HEADER = "the header"
TO_LINE_FEEDS = r"tr '\r' '\n'"
EVEN = 0.8  # of the lines have as many fields as most, at least, in a table
UNEVEN = "\0uneven"  # a column that marks lines with another number of fields than the first
RAGGED = "where each line is a user and then the items, oldest first, say --ragged"


@dataclass(frozen=True)
class _Text:
    """A text file: its separator, the number of lines before its rows, and the number of fields of a row.

    `first` names in words the line that fixes the number of fields, and `hint` explains another number.
    """

    path: Path
    packed: bool
    separator: Separator
    before: int
    width: int
    first: str = HEADER
    hint: str = ""

    def source(self, names: Sequence[str], **facts: Any) -> Source:
        """Make a source of the fields of a line, under `names`; `facts` are further fields of it.

        Raises:
            InputError: quotes cannot be read, or make one row of lines that are separated by tabs.
        """
        once = [name if name not in names[:place] else f"{name}\0{place}" for place, name in enumerate(names)]
        if self.separator.is_byte:
            facts["remarks"] = (*facts["remarks"], *self._remarks_on_quotes())
            # Polars fills a row that is too short with nulls; one that ends in an empty field looks the same.
            suspicious = pl.col(once[-1]).is_null()
            frame = pl.scan_csv(
                self.path,
                separator=self.separator.text,
                glob=False,
                has_header=False,
                skip_lines=self.before,
                schema=dict.fromkeys(once, pl.String),
            )
        else:
            fields, suspicious = pl.col("fields").list, pl.col(UNEVEN)
            each = (
                fields.get(place, null_on_oob=True).str.strip_chars('"').alias(name) for place, name in enumerate(once)
            )
            frame = self._fields().select(*each, (fields.len() != self.width).alias(UNEVEN))
        return Source(tuple(names), frame, problem=self.problem, uneven=self.uneven, suspicious=suspicious, **facts)

    def user_lines(self, user: str, items: str) -> pl.LazyFrame:
        """Read each line as a user and a list of items."""
        written = pl.element().str.strip_chars()
        fields = self._fields().select(pl.col("fields").list.eval(written.filter(written != ""))).lazy()
        return fields.select(pl.col("fields").list.first().alias(user), pl.col("fields").list.slice(1).alias(items))

    def problem(self) -> str | None:
        return self.not_utf8() or self.uneven()

    def not_utf8(self) -> str | None:
        with plain_lines(self.path) as lines:
            others = ((number, line) for number, line in enumerate(lines, 1) if not _is_utf8(line))
            number, line = next(others, (0, b""))
            is_windows = any(re.search(rb"[\x80-\x9f]", other) for other in (line, *(other for _, other in others)))
        if not number:
            return None
        encoding = "WINDOWS-1252" if is_windows else "LATIN1"
        shown = line.decode(encoding, errors="replace").strip()[:SHOWN]
        convert = as_utf8(self.path, encoding, self.packed)
        return f"line {number} is not UTF-8; where it is meant as {shown!r}, in {encoding}, say: {convert}"

    def _remarks_on_quotes(self) -> list[str]:
        plain = in_shell("tr -d '\"'", self.path, "plain", self.packed)
        if self.separator is TAB:  # such text is often written without regard to quotes
            remedy = f"where quotes mean nothing, say: {plain}"
        else:
            remedy = "quotes stand around a whole field, without blanks before, and those within it are written as two"
        spans = rows_over_lines(self.path, self.separator.text, remedy)
        if spans and self.separator is TAB:
            (first, last), *_ = spans
            raise InputError(
                f"{self.path}: lines {first} to {last} are one row, because of the quotes in them; where they are "
                f"rows of their own, say: {plain}; otherwise write the field without line ends"
            )
        count = len(spans)
        rows = f"{count:,} rows go" if count > 1 else "1 row goes"
        return [f"{rows} over several lines, because of quotes"] if count else []

    def uneven(self) -> str | None:
        line = pl.col("line")
        bare = line.str.replace_all('"[^"]*"', "") if self.separator.is_byte else line
        rows = self._lines().with_row_index("number", self.before + 1).with_columns(line=bare)
        if self.separator.is_byte and rows.select(line.str.contains('"', literal=True).any()).collect().item():
            number, fields = self._uneven_row()
        else:
            rows = rows.filter(line.str.strip_chars() != "").with_columns(fields=self.separator.count(line))
            first = rows.filter(pl.col("fields") != self.width).select("number", "fields").head(1)
            number, fields = next(iter(first.collect(engine="streaming").rows()), (0, 0))
        return f"line {number} has {fields} fields, {self.first} {self.width}; fix it{self.hint}" if number else None

    def _uneven_row(self) -> tuple[int, int]:
        """Find the first uneven row where quotes hold line ends."""
        with plain_lines(self.path) as lines:
            decoded = (line.decode("utf-8", errors="replace") for line in islice(lines, self.before, None))
            reader = csv.reader(decoded, delimiter=self.separator.text)
            try:
                for row in reader:
                    if len(row) != self.width and any(cell.strip() for cell in row):
                        return self.before + reader.line_num, len(row)
            except csv.Error:
                pass
        return 0, 0

    def _fields(self) -> pl.LazyFrame:
        written = self._lines().filter(pl.col("line").str.strip_chars() != "")
        return written.select(fields=self.separator.split(pl.col("line")))

    def _lines(self) -> pl.LazyFrame:
        lines = pl.scan_lines(self.path, name="line", glob=False)
        return lines.select(pl.col("line").str.strip_prefix("\ufeff")).slice(self.before)


@dataclass(frozen=True)
class _Look:
    """The first lines of a text: `rows` with the number of lines up to their end, and remarks on what was guessed."""

    path: Path
    head: Head
    layout: Layout
    separator: Separator
    rows: list[tuple[int, list[str]]]
    remarks: tuple[str, ...]

    @property
    def cells(self) -> list[str]:
        return [cell.strip() for cell in self.rows[0][1]]

    def text(self, before: int, first: str) -> _Text:
        """Return the text below its first `before` lines, without blank ones there, which would mislead polars."""
        below = self.head.lines()[before:]
        before += next((place for place, line in enumerate(below) if line.strip()), 0)
        hint = f"; {RAGGED}" if self.layout.options and first != HEADER else ""
        return _Text(self.path, self.head.packed, self.separator, before, len(self.rows[0][1]), first, hint)


def open_text(path: Path, head: Head, layout: Layout) -> Source:
    """Open a text file.

    Raises:
        InputError: it is empty or no text, or its separator or the names of its columns cannot be detected.
    """
    lines = head.lines()
    first = next((line for line in lines if line.strip()), "")
    if not first and head.whole:
        raise InputError(f"{path} is empty; give a table with a header and at least one event")
    own = separator_named(layout.separator) if layout.separator is not None else None
    if set(CONTROL.findall(first)) - {separator.text for separator in (own, *SEPARATORS) if separator}:
        raise InputError(f"{path} is no text: it begins with {first[:9]!r}; give CSV, TSV, JSON lines or Parquet")
    if "\r" in first:
        raise InputError(
            f"{path}: its lines end in CR alone; say: {in_shell(TO_LINE_FEEDS, path, 'lines', head.packed)}"
        )
    if layout.ragged:
        return _user_lines(path, head, layout, own or find_list_separator(lines))
    separator = own or find_separator(lines, path, _named_separator(layout))
    remarks = () if own or separator is COMMA else (f"fields are separated by {separator.words}",)
    rows = list(islice(separator.rows(lines), LINES))
    if not rows:
        raise InputError(f"{path}: no end of its first line can be found; give a table of shorter lines")
    look = _Look(path, head, layout, separator, rows, remarks)
    return _with_header(look) if layout.header and not layout.columns else _without_header(look)


def _with_header(look: _Look) -> Source:
    before, cells = look.rows[0]
    text = look.text(before, HEADER)
    if any("\ufffd" in cell for cell in cells) and (problem := text.not_utf8()):
        raise InputError(f"{look.path}: {problem}")
    names, padded = stripped(cells)
    typed, remarks = [match for name in names if (match := RECBOLE.fullmatch(name))], look.remarks
    lists: frozenset[str] = frozenset()
    if len(typed) == len(names):
        names = [match[1] for match in typed]
        lists = frozenset(match[1] for match in typed if match[2].endswith("_seq"))
        remarks = (*remarks, f"RecBole's types of columns, as in {typed[0][0]}, are left out")
    return text.source(names, remarks=(*remarks, *padded), advice=_advice(look), lists=lists)


def _without_header(look: _Look) -> Source:
    cells, option, columns = look.cells, look.layout.columns_option, look.layout.columns
    names = list(columns) or [f"column_{number}" for number in range(1, len(cells) + 1)]
    if names_columns(cells):
        remedy = f"leave out {option if columns else '--no-header'}, or that line"
        if look.layout.options:
            remedy += "; where a run asks for it, say --header"
        raise InputError(f"{look.path}: the first line names columns ({_shown(cells)}); {remedy}")
    if len(names) != len(cells):
        raise InputError(
            f"{look.path}: {option} names {len(names)} columns, the first line has {len(cells)} fields: {_shown(cells)}"
        )
    text = look.text(0, "the first line")
    advice = "" if columns else f"name them: say {option} {_suggested(cells, look.layout)}"
    return text.source(names, remarks=look.remarks, advice=advice)


def _user_lines(path: Path, head: Head, layout: Layout, separator: Separator) -> Source:
    user, item, *_ = layout.needed
    text = _Text(path, head.packed, separator, 0, 0)
    remark = f"each line is a user and then the items, oldest first, separated by {separator.words}"
    return Source((user, item), text.user_lines(user, item), remarks=(remark,), problem=text.not_utf8)


def _advice(look: _Look) -> str:
    """Write the remedy for a first line that, taken as a header, names none of the needed columns."""
    cells, option, layout = look.cells, look.layout.columns_option, look.layout
    widths = [len(row) for _, row in look.rows]
    usual = max(map(widths.count, widths))
    if layout.options and not NO_HEADER.match(cells[0]) and usual < EVEN * len(widths) and not names_columns(cells):
        return f"its lines have {', '.join(map(str, widths[:5]))} fields; {RAGGED}"
    if match := NO_HEADER.match(cells[0]):
        return f"its first line begins with {match[0]!r}, which is no name of a column; leave such lines out"
    if len(cells) == 1 and layout.options and layout.separator is None and (sign := _separates(look)):
        return f"its first line is one field, {_shown(cells)}; say --separator {shlex.quote(sign)}"
    if not looks_like_data(cells):
        return ""
    names = _suggested(cells, layout)
    order = "" if not layout.options or "timestamp" in names.split(",") else " --file-order"
    remedy = f"say {'--no-header ' if layout.options else ''}{option} {names}{order}"
    return f"the first line looks like data ({_shown(cells)}): {remedy}"


def _separates(look: _Look) -> str | None:
    """Find a sign that occurs as often in most lines as in the first, which is one field."""
    rows = [look.separator.text.join(row) for _, row in look.rows]
    signs = dict.fromkeys(re.findall(r"[^\w\s'\"]+", rows[0]))
    counts = {sign: [row.count(sign) for row in rows] for sign in signs}
    return next((sign for sign, each in counts.items() if each.count(each[0]) >= EVEN * len(each)), None)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _suggested(cells: Sequence[str], layout: Layout) -> str:
    names = suggested_names(cells)
    if not layout.options:  # of users alone
        names = [layout.needed[0], *(f"column_{number}" for number in range(2, len(cells) + 1))]
    return ",".join(names)


def _named_separator(layout: Layout) -> str:
    return "say which with --separator" if layout.options else "write it with one of them"


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(repr(cell[:SHOWN]) for cell in cells[:8]) + (", ..." if len(cells) > 8 else "")
