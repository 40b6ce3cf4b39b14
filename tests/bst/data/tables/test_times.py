import shlex
from datetime import date, datetime, time
from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions
from bst.data.tables.times import read_times, span

PATH = Path("events.csv")


def times(*values: object, time_format: str | None = None) -> pl.Series:
    return read_times(pl.Series("timestamp", values), PATH, time_format)


@pytest.mark.parametrize(
    "written",
    [
        "2019-10-01",
        "2019/10/01",
        "2019-10-01 00:00",
        "2019-10-01 00:00:00",
        "2019-10-01T00:00:00Z",
        "2019-10-01 00:00:00 UTC",
        "2019-10-01T02:00:00+02:00",
        "2019-10-01 00:00:00.000",
    ],
)
def test_dates_that_begin_with_the_year_are_read(written: str) -> None:
    assert times(written).cast(pl.Datetime("us")).to_list() == [datetime(2019, 10, 1)]


def test_fractions_of_a_second_may_be_there_or_not() -> None:
    assert times("2019-10-01 00:00:00", "2019-10-01 00:00:00.25").is_sorted()
    assert times("2019-10-01 00:00:00", "2019-10-01 00:00:00.25").n_unique() == 2


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("11/09/2010", r"day 11 of month 9, or day 9 of month 11\? Say --time-format %d/%m/%Y, or %m/%d/%Y"),
        ("10-05-2010 08:26", r"day 10 of month 5, or .*\? Say --time-format '%d-%m-%Y %H:%M', or '%m-%d-%Y %H:%M'"),
        ("01/18/2019", "'01/18/2019': day 18 of month 1; say --time-format %m/%d/%Y"),
        ("18.01.19 08:26:01.5", "day 18 of month 1; say --time-format '%d.%m.%y %H:%M:%S%.f'"),
        ("1/18/2019 8:26 PM", "day 18 of month 1; say --time-format '%m/%d/%Y %I:%M %p'"),
        ("1.2.10", "day 1 of month 2, or day 2 of month 1"),
        ("23/11/2010", "day 23 of month 11"),
        ("08:26:00", "'08:26:00', a time of day; give the date with it"),
        ("9:05 PM", "a time of day"),
        ("yesterday", "'yesterday'; times must be numbers, dates that begin with the year, or as --time-format says"),
        ("NULL", r"has no time \(empty or NaN\) in 1 rows"),
    ],
)
def test_what_is_no_time_or_may_be_two_is_refused(written: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        times(written)


def test_one_row_in_another_form_is_named() -> None:
    with pytest.raises(InputError, match=r"holds '01/02/2020', which is not as %Y-%m-%d; one form of date"):
        times("2020-01-31", "01/02/2020")


def test_the_format_decides_which_number_is_the_day() -> None:
    values = ("01/02/2020", "02/01/2020")
    assert not times(*values, time_format="%d/%m/%Y").is_sorted()
    assert times(*values, time_format="%m/%d/%Y").is_sorted()


@pytest.mark.parametrize(
    ("time_format", "message"),
    [
        ("%H:%M", "names no year"),
        ("%Y-%m", "is not as %Y-%m|no format of a date"),
        ("%Y %q", "no format of a date|not as"),
    ],
)
def test_a_format_that_fits_nothing_is_refused(time_format: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        times("10:30", time_format=time_format)


def test_numbers_are_times_as_they_are() -> None:
    assert times("3", "20", "100").is_sorted()
    assert times("1.5e3", "2").to_list() == [1500.0, 2.0]


def test_times_of_day_in_parquet_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [time(8)]})
    frame.write_parquet(tmp_path / "events.parquet")
    with pytest.raises(InputError, match="holds times of day; give the date"):
        read_interactions(tmp_path / "events.parquet", DataConfig())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([874_724_710, 893_286_638], "1997-09-20 to 1998-04-22 if its numbers are Unix seconds"),
        ([874_724_710_000, 893_286_638_000], "1997-09-20 to 1998-04-22 if its numbers are Unix milliseconds"),
        ([1, 2314], "1 to 2,314"),
        ([date(2020, 1, 1), date(2021, 2, 3)], "2020-01-01 to 2021-02-03"),
    ],
)
def test_the_span_says_from_when_to_when(values: list[object], text: str) -> None:
    assert span(pl.Series(values)) == text


@pytest.mark.parametrize(
    "written", ["01/18/2019", "18.1.19 08:26:01.5", "1/18/2019 8:26 PM", "1/18/2019 8:26:01am", "18-01-2019T08:26"]
)
def test_the_format_that_is_suggested_reads_the_time(written: str) -> None:
    with pytest.raises(InputError, match="day 18 of month 1; say") as raised:
        times("01.02.2019" if "." in written else written, written)
    form = shlex.split(str(raised.value).split("--time-format ")[1])[0]
    assert times(written, time_format=form).dt.strftime("%Y-%m-%d").to_list() == ["2019-01-18"]


def test_what_follows_a_date_and_is_no_time_of_day_is_left_to_the_reader() -> None:
    with pytest.raises(InputError, match=r"say --time-format %m/%d/%Y and what follows$"):
        times("01/18/2019 noon")
