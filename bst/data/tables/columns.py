"""Columns of a table as ids or categories: their type, and their missing values."""

from __future__ import annotations

import warnings
from pathlib import Path

import polars as pl

from bst.errors import InputError

INTEGER = r"^(0|-?[1-9][0-9]*)$"  # as a computer writes it
WHOLE = r"^(0|-?[1-9][0-9]*)(\.0+)?$"
FRACTION = r"^[-+]?([0-9]*\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"
UNCLEAR = r"^-?[0-9]+(\.0*)?$"
EXACT: dict[type[pl.DataType], int] = {
    pl.Float64: 2**53,
    pl.Float32: 2**24,
}  # from here on, neighbouring integers are one float
# What programs write for a value that is not there, without regard to case.
MISSING = ("nan", "-nan", "null", "none", r"\n", "na", "n/a", "#n/a", "<na>", "nat")


def ids(values: pl.Series, path: Path, text_ids: bool, *, mixed: bool = False) -> pl.Series:
    """Read a column of ids: Int64 where every value is a whole number, otherwise String.

    With `mixed`, a column of numbers and texts is String as well, for ids that never reach a model; `1.0` is `1` then.

    Raises:
        InputError: a value is missing, also one that says so in words (`NULL`, `nan`); ids are fractions, or partly
            numbers and partly text, unless `text_ids` or `mixed` says that all are text.
    """
    name = values.name
    values = plain_numbers(values)
    require_values(values, path, "is empty", "drop them")
    if values.dtype.is_integer() and text_ids:
        return values.cast(pl.String)
    if values.dtype.is_numeric():
        whole = _whole_numbers(values, path, "ids must be integers or text")
        return whole.cast(pl.String) if text_ids else whole
    values = text_of(values, path, "ids must be integers or text")
    if (values == "").any():
        raise InputError(f"{path}: column {name!r} holds an empty text, which stands for padding; drop those rows")
    absent = values.filter(missing(values))
    if len(absent):
        raise InputError(
            f"{path}: column {name!r} holds {absent[0]!r} in {len(absent):,} rows, which stands for a missing value; "
            "drop those rows, or rename the id if it is one"
        )
    return values if text_ids else _numbers_or_text(values, path, mixed)


def _numbers_or_text(values: pl.Series, path: Path, mixed: bool) -> pl.Series:
    numeric, whole = values.str.contains(WHOLE), values.str.replace(WHOLE, "${1}")
    if numeric.all():
        return whole if mixed and whole.cast(pl.Int64, strict=False).null_count() else _int64(whole, path)
    name, remedy = values.name, "fix the column, or keep all ids as text with --text-ids"
    fractions = values.str.contains(FRACTION) & ~numeric
    if (fractions | numeric).all():
        raise InputError(_fractions(name, path, values.filter(fractions)[0], remedy))
    if mixed:
        return whole
    if numeric.any():
        other, plain = values.filter(numeric)[0], values.filter(~numeric)[0]
        raise InputError(f"{path}: column {name!r} mixes numbers and text, such as {other!r} and {plain!r}; {remedy}")
    if len(unclear := values.filter(values.str.contains(UNCLEAR))):
        raise InputError(f"{path}: column {name!r} holds {unclear[0]!r}, which may be a number or text; {remedy}")
    return values


def categories(values: pl.Series, path: Path, *, what: str = "context feature") -> pl.Series:
    """Read a column of categories: Int64 or String; null where the value is missing.

    Among numbers a word such as `nan` is a missing value. Among texts it may be a category (`none` is an occupation in
    MovieLens): it stays one, with a warning.

    Raises:
        InputError: the values are fractions.
    """
    values = plain_numbers(values)
    if values.dtype.is_numeric():
        return _whole_numbers(values, path, "cut it into categories first")
    if values.dtype != pl.Boolean and not values.dtype.is_temporal():
        values = text_of(values, path, "categories must be integers or text")
    values = values.cast(pl.String)
    values = values.set(values == "", None)
    words = missing(values)
    texts = values.filter(~words)
    if len(texts) and texts.str.contains(WHOLE).all():
        return _int64(values.set(words, None).str.replace(r"\.0+$", ""), path)
    fractions = texts.filter(texts.str.contains(FRACTION))
    numbers = texts.str.contains(f"{FRACTION}|{WHOLE}").all()
    if len(fractions) and (numbers or 2 * len(fractions) > len(texts)):
        raise InputError(_fractions(values.name, path, fractions[0], "cut it into categories first"))
    if words.any():
        warnings.warn(
            f"{what} {values.name!r} has {values.filter(words)[0]!r} in {words.sum():,} rows, as a category "
            "of its own; where it stands for a missing value, leave it empty",
            stacklevel=3,
        )
    return values


def numbers(values: pl.Series, path: Path) -> pl.Series:
    """Read a column of numbers: Float64; null where the value is missing or infinite.

    Raises:
        InputError: a value is no number, as text or by its type.
    """
    values = plain_numbers(values)
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        texts = text_of(values, path, "numbers must be integers or decimals").str.strip_chars()
        texts = texts.set((texts == "") | missing(texts), None)
        values = texts.cast(pl.Float64, strict=False)
        if len(others := texts.filter(values.is_null() & texts.is_not_null())):
            raise InputError(
                f"{path}: column {values.name!r} holds {others[0]!r} in {len(others):,} rows, which is no number; "
                "name it with --context or --event-features if it is a category"
            )
    values = values.cast(pl.Float64)
    return values.set(~values.is_finite(), None)


def labels(values: pl.Series, path: Path) -> pl.Series:
    """Read a column of labels: Boolean, from 0 and 1, or from false and true.

    Raises:
        InputError: a value is missing or is no label, or all are the same.
    """
    name, values = values.name, plain_numbers(values)
    require_values(values, path, "has no label", "write 1 where the item was clicked, 0 where not, or drop those rows")
    texts = values.cast(pl.String) if values.dtype != pl.String else values.str.strip_chars()
    is_clicked, is_not = (texts.str.contains(form) for form in (r"(?i)^(1(\.0*)?|true)$", r"(?i)^(0(\.0*)?|false)$"))
    if len(others := texts.filter(~(is_clicked | is_not))):
        raise InputError(
            f"{path}: column {name!r} holds {others[0]!r} in {len(others):,} rows, which is no label; write 1 where "
            "the item was clicked, 0 where not, or drop those rows"
        )
    if is_clicked.all():
        raise InputError(
            f"{path}: all {len(values):,} labels of column {name!r} are 1, a log without negatives; give what was "
            "shown and not clicked too, with label 0, or leave out --label: negatives are drawn then"
        )
    if is_not.all():
        raise InputError(
            f"{path}: all {len(values):,} labels of column {name!r} are 0, a log without clicks; give what was clicked "
            "too, with label 1"
        )
    return is_clicked


def missing(values: pl.Series) -> pl.Series:
    """Mark the texts that stand for a missing value; null where the value is null."""
    return values.str.strip_chars().str.to_lowercase().is_in(MISSING)


def text_of(values: pl.Series, path: Path, remedy: str) -> pl.Series:
    """Return a column of text, also from a type that stores text.

    Raises:
        InputError: it is neither.
    """
    if values.dtype in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if values.dtype != pl.String:
        raise InputError(f"{path}: column {values.name!r} holds {values.dtype}; {remedy}")
    return values


def require_values(values: pl.Series, path: Path, what: str, remedy: str) -> None:
    """Refuse a column that has nulls, with their number and the first row that has one."""
    if count := values.null_count():
        row = values.is_null().arg_max()
        raise InputError(f"{path}: column {values.name!r} {what} in {count} rows, first in row {row}; {remedy}")


def plain_numbers(values: pl.Series) -> pl.Series:
    """Make a decimal a float, and NaN null."""
    if values.dtype.is_decimal():  # 38 digits, which no float holds
        whole = values.cast(pl.Int128)
        values = whole if (whole.cast(values.dtype) == values).all() else values.cast(pl.Float64)
    return values.fill_nan(None) if values.dtype.is_float() else values


def _whole_numbers(values: pl.Series, path: Path, remedy: str) -> pl.Series:
    if values.dtype.is_integer():
        return _int64(values, path)
    if len(fractions := values.filter(values != values.round())):
        raise InputError(_fractions(values.name, path, str(fractions[0]), remedy))
    if len(beyond := values.filter(values.abs() >= EXACT[type(values.dtype)])):
        raise InputError(
            f"{path}: column {values.name!r} holds {beyond[0]} as a float, whose last digits are lost; "
            "write it as an integer or as text"
        )
    return values.cast(pl.Int64)


def _fractions(name: str, path: Path, example: str, remedy: str) -> str:
    return f"{path}: column {name!r} holds fractions such as {example}; {remedy}"


def _int64(values: pl.Series, path: Path) -> pl.Series:
    try:
        return values.cast(pl.Int64)
    except pl.exceptions.PolarsError:
        raise InputError(
            f"{path}: column {values.name!r} holds integers beyond 64 bits; keep all ids as text with --text-ids"
        ) from None
