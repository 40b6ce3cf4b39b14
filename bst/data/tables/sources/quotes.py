"""Quotes in a text whose fields may be quoted: rows that span lines, and quotes that cannot be read."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import polars as pl

from bst.data.tables.packed import PIECE, plain_bytes, plain_lines
from bst.errors import InputError

SHOWN = 60  # characters of a line
# The rest of a quoted field, after the quote that opens it, up to the one that closes it.
REST = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')
ESCAPED = (
    'line {number} has \\" within a quoted field, as Spark writes it; write a quote within a field as two '
    "(Spark: .option('escape', '\"'))"
)


def rows_over_lines(path: Path, separator: str, remedy: str) -> list[tuple[int, int]]:
    """Find the rows that span several lines, because a quoted field does: numbers of the first and last line.

    Args:
        remedy: for quotes that do not quote a field.

    Raises:
        InputError: a quote stands inside a field without quotes around, or text after a closing one, or one is open at
            the end; with the first such line.
    """
    spans: list[tuple[int, int]] = []
    numbers = _unusual(path, separator)
    if not numbers:
        return spans
    opened, escaped = 0, 0
    with plain_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if not opened and number not in numbers:
                continue
            text = line.decode("utf-8", errors="replace").removeprefix("\ufeff").rstrip("\r\n")
            escaped = escaped or (number if '\\"' in text else 0)
            problem, is_open = _walked(text, separator, inside=opened > 0)
            if problem:
                since = f"the quote of line {opened} ends in line {number}, which" if opened else f"line {number}"
                problem = ESCAPED.format(number=escaped) if escaped else f"{since} {problem}; {remedy}"
                raise InputError(f"{path}: {problem}")
            if opened and not is_open:
                spans.append((opened, number))
            opened = (opened or number) if is_open else 0
            escaped = escaped if is_open else 0
    if opened:
        problem = f'line {opened} opens a quote (") that no line closes; close it, or leave it out'
        raise InputError(f"{path}: {ESCAPED.format(number=escaped) if escaped else problem}")
    return spans


def _unusual(path: Path, separator: str) -> set[int]:
    """Return the numbers of the lines whose quotes do not stand around whole fields, or in pairs within one."""
    with plain_bytes(path) as stream:
        if not any(b'"' in piece for piece in iter(lambda: stream.read(PIECE), b"")):
            return set()
    other = rf'[^\x{ord(separator):02x}"]'
    paired = rf'{other}*[^\x{ord(separator):02x}"\s]{other}*(?:"{other}*"{other}*)+'
    field = rf'(?:"[^"]*(?:""[^"]*)*"|{other}*|{paired})'
    row = rf"^\x{{feff}}?{field}(?:\x{ord(separator):02x}{field})*\r?$"
    lines = pl.scan_lines(path, name="line", glob=False).with_row_index("number", 1)
    unusual = lines.filter(pl.col("line").str.contains('"', literal=True) & ~pl.col("line").str.contains(row))
    with suppress(pl.exceptions.PolarsError):  # bytes that are no UTF-8 are reported when they are read
        return set(unusual.select("number").collect(engine="streaming")["number"])
    return set()


def _walked(text: str, separator: str, *, inside: bool) -> tuple[str, bool]:
    """Walk the fields of a line, from `inside` quotes or not: the problem, and whether quotes are open at its end."""
    while True:
        if inside or text.startswith('"'):
            closed = REST.match(text, 0 if inside else 1)
            if not closed:
                return "", True
            text, inside = text[closed.end() :], False
            if text and not text.startswith(separator):
                return f"has text after a closing quote: {text.partition(separator)[0][:SHOWN]!r}", False
        else:
            field = text.partition(separator)[0]
            before, quote, _ = field.partition('"')
            if quote and not before.strip():
                return f"has a blank before the quote of {field[:SHOWN]!r}", False
            if field.count('"') % 2:
                return f"has a quote within the field {field[:SHOWN]!r}", False
            text = text[len(field) :]
        if not text:
            return "", False
        text = text[1:]
