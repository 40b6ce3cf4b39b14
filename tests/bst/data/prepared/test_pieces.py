"""Tables read in pieces and read whole: the same dataset, or the same refusal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst import Dataset, InputError, read_interactions
from bst.config import DataConfig
from bst.data.prepared import open_prepared, prepare

PIECE = 70
NUM_ROWS = 4 * PIECE
KIND: dict[str, Any] = {"event_features": ("kind",)}


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "user_id": rng.integers(1, 30, NUM_ROWS),
            "item_id": rng.integers(1, 9, NUM_ROWS),
            "timestamp": 1_600_000_000 + np.arange(NUM_ROWS),
        }
    )


def by_piece(name: str, *pieces: str, dtype: Any = pl.String) -> pl.DataFrame:
    """The same with a column that has one value a piece, over and over; the last one in all further pieces."""
    values = [pieces[min(row // PIECE, len(pieces) - 1)] for row in range(NUM_ROWS)]
    return frame().with_columns(pl.Series(name, values, strict=False).cast(dtype).alias(name))


def varied(name: str, *pieces: Callable[[int], str]) -> pl.DataFrame:
    values = [pieces[min(row // PIECE, len(pieces) - 1)](row) for row in range(NUM_ROWS)]
    return frame().with_columns(pl.Series(name, values).alias(name))


def with_repeats(**of_repeats: Any) -> pl.DataFrame:
    """Each event twice, the second time with other values beside it."""
    once = frame().with_columns(kind=pl.lit("v"), flag=pl.col("user_id") % 3, hour=pl.int_range(NUM_ROWS) % 5)
    again = once.with_columns(**{name: pl.lit(value, dtype=once[name].dtype) for name, value in of_repeats.items()})
    return pl.concat([once.with_row_index("place"), again.with_row_index("place")]).sort("place").drop("place")


def day(form: str) -> Callable[[int], str]:
    return lambda row: form.format(2020, 1 + row % 12, 1 + row % 28)


CASES: dict[str, tuple[pl.DataFrame, dict[str, Any]]] = {
    "days, then days with a clock": (varied("timestamp", day("{}-{:02}-{:02}"), day("{}-{:02}-{:02} 12:00:00")), {}),
    "another dash further down": (varied("timestamp", day("{}-{:02}-{:02}"), day("{}/{:02}/{:02}")), {}),
    "an offset, then Z": (
        varied("timestamp", day("{}-{:02}-{:02} 10:00:00+02:00"), day("{}-{:02}-{:02} 10:00:00Z")),
        {},
    ),
    "whole seconds, then parts": (varied("timestamp", str, lambda row: f"{row}.5"), {}),
    "times beyond 64 bits": (varied("timestamp", str, lambda row: str(10**20 + row)), {}),
    "a time that is none": (by_piece("timestamp", "5", "6", "soon"), {}),
    "a kind that begins late": (by_piece("kind", "", "1.0", "2.0"), KIND),
    "digits, then text": (by_piece("kind", "1", "2", "k3"), KIND),
    "a piece of words": (by_piece("kind", "1", "nan", "2"), KIND),
    "words among texts": (by_piece("kind", "a", "none", "2"), KIND),
    "a piece of fractions": (by_piece("kind", "a", "4.5", "b", "c"), KIND),
    "fractions alone": (by_piece("kind", "1.5", "4.5"), KIND),
    "users of both kinds": (varied("user_id", lambda row: f"{row % 9}.0", lambda row: f"u{row % 7}"), {}),
    "items of both kinds": (varied("item_id", lambda row: str(row % 9), lambda row: f"i{row % 7}"), {}),
    "an item that is missing": (by_piece("item_id", "5", "6", ""), {}),
    "an item that says so": (by_piece("item_id", "a", "b", "NULL"), {}),
    "repeats of a kind of their own": (with_repeats(kind="refresh"), {"drop_repeats": True, **KIND}),
    "repeats with a context of their own": (with_repeats(hour=9), {"drop_repeats": True, "context": ("hour",)}),
    "repeats that tell nothing new": (with_repeats(flag=1), {"drop_repeats": True, "context": ("flag",)}),
}


def outcome(call: Callable[[], Dataset]) -> tuple[Dataset | None, str, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return call(), "", [str(warning.message) for warning in caught]
        except InputError as error:
            return None, str(error), []


def require_equal(table: Path, settings: dict[str, Any], out: Path) -> None:
    config = DataConfig(**settings)

    def from_table() -> Dataset:
        return Dataset.build(read_interactions(table, config))

    def from_pieces() -> Dataset:
        prepare([table], config, out)
        return Dataset.of_prepared(open_prepared(out), times=False)

    wanted, message, told = outcome(from_table)
    dataset, refusal, remarks = outcome(from_pieces)
    assert (refusal, remarks) == (message, told)
    if wanted is None or dataset is None:
        assert wanted is dataset
        return
    assert dataset.vocabularies.to_dict() == wanted.vocabularies.to_dict()
    assert dataset.facts == wanted.facts
    for name in ("items", "offsets", "context"):
        assert np.array_equal(getattr(dataset.sequences, name), getattr(wanted.sequences, name)), name
    assert all(
        np.array_equal(dataset.sequences.beside[name], values) for name, values in wanted.sequences.beside.items()
    )


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bst.data.prepared.sorting.PIECE_ROWS", PIECE)
    monkeypatch.setattr("bst.data.prepared.runs.SAMPLE", 8)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("case", CASES)
def test_a_table_is_read_in_pieces_as_it_is_read_whole(case: str, form: str, tmp_path: Path) -> None:
    rows, settings = CASES[case]
    table = tmp_path / f"table.{form}"
    rows.write_csv(table) if form == "csv" else rows.write_parquet(table)
    require_equal(table, settings, tmp_path / "data")


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([Decimal(row) if row < PIECE else Decimal(row) + Decimal("0.5") for row in range(NUM_ROWS)]),
        pl.Series([timedelta(seconds=row) for row in range(NUM_ROWS)]),
        pl.Series([None if row == 250 else row for row in range(NUM_ROWS)]),
        pl.Series([float("nan") if row > 200 else row for row in range(NUM_ROWS)], dtype=pl.Float64),
    ],
    ids=["decimals", "lengths-of-time", "missing", "nan"],
)
def test_times_of_any_type_are_read_in_pieces_as_they_are_read_whole(times: pl.Series, tmp_path: Path) -> None:
    frame().with_columns(times.alias("timestamp")).write_parquet(tmp_path / "table.parquet")
    require_equal(tmp_path / "table.parquet", {}, tmp_path / "data")


def test_repeats_tell_nothing_of_what_is_known_before_an_event(tmp_path: Path) -> None:
    rows = with_repeats().with_columns(flag=pl.col("item_id") % 4)
    again = rows.with_row_index("place").with_columns(
        flag=pl.when(pl.col("place") % 2 == 1).then(pl.col("place") % 7).otherwise("flag")
    )
    again.drop("place").write_parquet(tmp_path / "table.parquet")
    settings = {"drop_repeats": True, "context": ("flag",)}
    with pytest.raises(InputError, match=r"flag .* belongs to the item"):
        prepare([tmp_path / "table.parquet"], DataConfig(**settings), tmp_path / "data")
    require_equal(tmp_path / "table.parquet", settings, tmp_path / "data")


def test_a_table_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    frame().write_csv(tmp_path / "table.csv")
    with pytest.raises(InputError, match=r"table\.csv is named twice; name each file, folder or pattern once"):
        prepare([tmp_path / "table.csv"] * 2, DataConfig(), tmp_path / "data")
