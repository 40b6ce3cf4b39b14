"""Times of events: numbers, or dates that begin with the year. An ambiguous date is refused."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bst.data.tables.columns import INTEGER, missing, plain_numbers, require_values, text_of
from bst.errors import InputError

DATE = re.compile(
    r"\d{4}(?P<dash>[-/.])\d{1,2}(?P=dash)\d{1,2}"
    r"((?P<gap>[T ])\d{1,2}:\d{2}(?P<seconds>:\d{2}(\.\d{1,9})?)?(?P<zone> ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?)?"
)
TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?")
TWO_READINGS = re.compile(r"(?P<first>\d{1,2})(?P<dash>[-/.])(?P<second>\d{1,2})(?P=dash)(?P<year>\d{4}|\d{2})(?!\d).*")
DAY_AND_MONTH = r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.](?:[0-9]{4}|[0-9]{2})(?:[^0-9]|$)"
CLOCK = re.compile(
    r"(?P<gap>,? |T)\d{1,2}:\d{2}(?P<seconds>:\d{2}(?P<part>\.\d+)?)?((?P<blank> ?)(?P<half>[AaPp][Mm]))?"
)
NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
YEAR = re.compile(r"%[-_0]?[YyCFDcsx+]")
# Numbers in the range of one of these are shown as dates too; 1985 to 2100.
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
UNIX = (473_385_600, 4_102_444_800)


def read_times(values: pl.Series, path: Path, time_format: str | None) -> pl.Series:
    """Turn a column into values with an order: numbers or datetimes, none of them null.

    Args:
        time_format: the format of a text, as chrono and strftime write it; without one, text must be numbers or
            dates that begin with the year, with one form in the whole column.

    Raises:
        InputError: a time is missing, is no time, is a time of day alone, or may be read in two ways.
    """
    values = plain_numbers(values)
    if values.dtype == pl.Time:
        raise InputError(f"{path}: column {values.name!r} holds times of day; give the date with them")
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):
        text = text_of(values, path, "times must be numbers or dates").str.strip_chars()
        values = text.set(missing(text), None)
    require_values(values, path, "has no time (empty or NaN)", "fill them or drop those rows")
    if time_format is not None and not values.dtype.is_temporal():
        return _by_format(values.cast(pl.String), path, time_format)
    return values if values.dtype != pl.String else _from_text(values, path)


def parse_time(text: str, times: pl.Series, time_format: str | None) -> Any:
    """Read one time of the command line as the column `times` was read.

    Raises:
        InputError: it is no time of that kind; the message has the last one of the column.
    """
    try:
        if times.dtype.is_numeric():
            return int(text) if re.fullmatch(INTEGER, text) else float(text)
        where, column = Path("--split-at"), pl.Series("time", [text])
        as_date = time_format is None or DATE.fullmatch(text) is not None
        value = _from_text(column, where) if as_date else _by_format(column, where, str(time_format))
        zone, own = (getattr(series.dtype, "time_zone", None) for series in (times, value))
        if zone and not own and times.dtype == pl.Datetime:
            value = value.dt.replace_time_zone(zone)
        if not value.dtype.is_temporal():
            raise ValueError(text)
        return value.cast(times.dtype)[0]
    except (ValueError, InputError, pl.exceptions.PolarsError):
        last = times.max()
        example = f"{last:,} ({span(times)})" if isinstance(last, int | float) else str(last)
        raise InputError(f"--split-at {text!r} is no time as in the table, whose last is {example}") from None


def span(times: pl.Series) -> str:
    """Write the span of time of the events, for the first line of a run."""
    first, last = times.min(), times.max()
    if not times.dtype.is_numeric():
        return f"{str(first)[:10]} to {str(last)[:10]}"
    assert isinstance(first, int | float)
    assert isinstance(last, int | float)
    for unit, parts in UNITS.items():
        if UNIX[0] * parts <= first and last <= UNIX[1] * parts:
            days = [datetime.fromtimestamp(value / parts, UTC) for value in (first, last)]
            return f"{days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d} if its numbers are Unix {unit}"
    return f"{first:,} to {last:,}"


def to_seconds(times: pl.Series, path: Path, column: str) -> tuple[pl.Series, str]:
    """Turn what `read_times` gave into seconds since 1970, Int64; with a line on how they were read.

    Numbers are taken for the unit in which all of them lie between 1985 and 2100.

    Raises:
        InputError: they lie so in no unit.
    """
    if times.dtype == pl.Duration:
        raise InputError(f"{path}: column {column!r} holds lengths of time, which are no clock; leave out event_times")
    if not times.dtype.is_numeric():
        return times.dt.epoch("s"), remark_on_dates(count_unknown(times))
    first, last = times.min(), times.max()
    assert isinstance(first, int | float)
    assert isinstance(last, int | float)
    for unit, parts in UNITS.items():
        if UNIX[0] * parts <= first and last <= UNIX[1] * parts:
            seconds = (times // parts).cast(pl.Int64)
            return seconds, f"event times: the numbers in {column!r} are taken for Unix {unit}"
    raise InputError(
        f"{path}: column {column!r} holds {first:,} to {last:,}, which are no Unix times in seconds or parts of them; "
        "a model of event times needs a clock: leave out event_times, or write dates"
    )


def count_unknown(times: pl.Series) -> int:
    """Count the dates that a model does not know, those of 1970 or before; none of what is no date."""
    return 0 if times.dtype.is_numeric() or times.dtype == pl.Duration else int((times.dt.epoch("s") <= 0).sum())


def remark_on_dates(count: int) -> str:
    """Say how dates are read as seconds; `count` of them are not known to a model."""
    early = f"; {count:,} of 1970 or before are not known to the model" if count else ""
    return f"event times are seconds of the dates{early}"


def _from_text(text: pl.Series, path: Path) -> pl.Series:
    numbers = text.str.contains(NUMBER)
    if numbers.all():
        return _numbers(text, path)
    example = text.filter(~numbers)[0]
    if (form := form_of(example)) is None:
        raise InputError(f"{path}: column {text.name!r} holds {_refused(example, text)}")
    return read_dates(text, path, form)


def form_of(example: str) -> str | None:
    """Return the format of dates that are written as `example`; None where it is no date that begins with the year."""
    if not (form := DATE.fullmatch(example)):
        return None
    dash, gap = form["dash"], form["gap"]
    day = f"%Y{dash}%m{dash}%d"
    if gap is None:
        return day
    zone = form["zone"] or ""
    written = zone if zone.strip().isalpha() else " %#z" if zone.startswith(" ") else "%#z" if zone else ""
    clock = "%H:%M:%S%.f" if form["seconds"] else "%H:%M"
    return f"{day}{gap}{clock}{written}"


def read_dates(text: pl.Series, path: Path, form: str) -> pl.Series:
    """Read dates that are all of the format `form`.

    Raises:
        InputError: one of them is not.
    """
    return _by_format(text, path, form, "one form of date in the whole column")


def _numbers(text: pl.Series, path: Path) -> pl.Series:
    for dtype in (pl.Int64, pl.Int128, pl.Float64):
        values = text.cast(dtype, strict=False)
        if not values.null_count():
            return values
    raise InputError(f"{path}: column {text.name!r} holds {text[0]!r}; times must be numbers or dates")


def _by_format(text: pl.Series, path: Path, form: str, remedy: str = "fix --time-format or that row") -> pl.Series:
    if not YEAR.search(form):
        raise InputError(f"--time-format {form!r} names no year; a time of day alone orders nothing")
    try:
        values = text.str.to_datetime(form, strict=False)
    except pl.exceptions.PolarsError:
        raise InputError(f"--time-format {form!r} is no format of a date; such as %d/%m/%Y %H:%M:%S") from None
    if values.null_count():
        other = text.filter(values.is_null())[0]
        raise InputError(f"{path}: column {text.name!r} holds {other!r}, which is not as {form}; {remedy}")
    return values


def _refused(example: str, text: pl.Series) -> str:
    if TIME_OF_DAY.fullmatch(example):
        return f"{example!r}, a time of day; give the date with it"
    if not TWO_READINGS.fullmatch(example):
        return f"{example!r}; times must be numbers, dates that begin with the year, or as --time-format says"
    parts = [text.str.extract(DAY_AND_MONTH, group).cast(pl.Int64, strict=False) for group in (1, 2)]
    deciding = text.filter(((parts[0] > 12) | (parts[1] > 12)).fill_null(value=False))
    example = deciding[0] if len(deciding) else example
    form = TWO_READINGS.fullmatch(example)
    assert form
    first, second, dash = int(form["first"]), int(form["second"]), form["dash"]
    clock = _clock(example[form.end("year") :])
    rest = ("%Y" if len(form["year"]) == 4 else "%y") + (clock or "")
    more = " and what follows" if clock is None else ""
    by_day, by_month = (shlex.quote(f"{parts}{rest}") + more for parts in (f"%d{dash}%m{dash}", f"%m{dash}%d{dash}"))
    if first > 12 or second > 12:
        day, month, only = (first, second, by_day) if first > 12 else (second, first, by_month)
        return f"{example!r}: day {day} of month {month}; say --time-format {only}"
    return (
        f"{example!r}: day {first} of month {second}, or day {second} of month {first}? Say --time-format {by_day}, or "
        f"{by_month}"
    )


def _clock(written: str) -> str | None:
    """Return the format of the text after a date; None where it is no time of day."""
    form = CLOCK.fullmatch(written)
    if not form:
        return None if written.strip() else ""
    hours = "%I" if form["half"] else "%H"
    seconds = f":%S{'%.f' if form['part'] else ''}" if form["seconds"] else ""
    half = f"{form['blank']}%p" if form["half"] else ""
    return f"{form['gap']}{hours}:%M{seconds}{half}"
