"""Separators of fields: detected from the first lines of a text, or named by the user."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from bst.errors import InputError

LINES = 200  # that are looked at
FITTING = 0.5  # of the lines, at least, have as many fields as the first


@dataclass(frozen=True)
class Separator:
    """A separator between two fields.

    Attributes:
        text: the separator itself; a blank stands for runs of blanks and tabs.
        words: its name in messages.
        names: its names on the command line.
    """

    text: str
    words: str
    names: tuple[str, ...] = ()

    @property
    def is_byte(self) -> bool:
        """Whether fields may be quoted, as in CSV, and polars' own reader takes it."""
        return len(self.text.encode()) == 1 and self.text != " "

    def fields(self, line: str) -> list[str]:
        parts = line.split() if self.text == " " else line.split(self.text)
        return [part.strip('"') for part in parts]

    def rows(self, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows that are not blank: the number of lines up to their end, and their fields."""
        if self.is_byte:
            reader = csv.reader((line + "\n" for line in lines), delimiter=self.text)
            try:
                yield from ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
            except csv.Error:
                return  # a field without end
        else:
            yield from ((number, self.fields(line)) for number, line in enumerate(lines, 1) if line.strip())

    def split(self, line: pl.Expr) -> pl.Expr:
        """Turn lines into lists of fields, with the quotes that may stand around them."""
        if self.text == " ":
            return line.str.strip_chars().str.replace_all(r"[ \t]+", "\t").str.split("\t")
        return line.str.split(self.text)

    def count(self, line: pl.Expr) -> pl.Expr:
        """Count the fields of lines without quotes."""
        if self.text == " ":
            return line.str.strip_chars().str.count_matches(r"[ \t]+") + 1
        return line.str.count_matches(self.text, literal=True) + 1


COMMA = Separator(",", "commas", ("comma",))
TAB = Separator("\t", "tabs", ("tab", r"\t"))
BLANK = Separator(" ", "blanks", ("blank", "blanks", "space", "spaces", "whitespace"))
STRONG = (
    COMMA,
    TAB,
    Separator(";", "';'", ("semicolon",)),
    Separator("|", "'|'", ("pipe",)),
    Separator("::", "'::'"),
    Separator("\x01", "the byte 1", (r"\x01", "^A")),  # what Hive writes
)
SEPARATORS = (*STRONG, BLANK)


def separator_named(text: str) -> Separator:
    """Return the separator that the user names.

    Raises:
        InputError: `text` is empty, or could be part of a field.
    """
    for separator in SEPARATORS:
        if text == separator.text or text.lower() in separator.names:
            return separator
    if text and not text.strip(" "):
        return BLANK
    if not text or re.search(r'[\w"\r\n\ufffd]', text):
        names = ", ".join(name for other in SEPARATORS for name in other.names[:1])
        raise InputError(f"--separator {text!r} separates nothing; give it as it is written, or {names}")
    return Separator(text, repr(text))


def find_separator(lines: list[str], path: Path, remedy: str) -> Separator:
    """Find the separator of `lines`: with it, most lines have as many fields as the first.

    Blanks are chosen only if no other separator fits. Of several that fit, the one with more fields is chosen.

    Raises:
        InputError: two fit equally well; the message ends in `remedy`.
    """
    fits = sorted((fit for separator in STRONG if (fit := _fit(separator, lines))), key=lambda fit: fit[:2])
    blank = _fit(BLANK, lines)
    if blank and blank[0] >= FITTING and not (fits and fits[-1][0] >= FITTING):
        return BLANK
    if len(fits) > 1 and fits[-1][:2] == fits[-2][:2]:
        both = " or ".join(fit[2].words for fit in fits[-2:])
        raise InputError(f"{path}: fields may be separated by {both}, {fits[-1][1]} in each line; {remedy}")
    return fits[-1][2] if fits else BLANK if blank else COMMA


def find_list_separator(lines: list[str]) -> Separator:
    """Find the separator of a user and any number of items: one that occurs in most lines, otherwise blanks."""
    written = [line for line in lines if line.strip()]
    for separator in STRONG:
        if separator.text != "\t" and sum(separator.text in line for line in written) > FITTING * len(written):
            return separator
    return BLANK


def _fit(separator: Separator, lines: list[str]) -> tuple[float, int, Separator] | None:
    widths = [len(row) for _, row in islice(separator.rows(lines), LINES)]
    return (widths.count(widths[0]) / len(widths), widths[0], separator) if widths and widths[0] > 1 else None
