"""Parquet that unpacks to more than events do is refused, and what is wide but not read is not counted."""

from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions
from bst.parquet_pages import unpacked_bytes

EVENTS = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [5, 6, 7, 5], "timestamp": [1, 2, 3, 4]})
CODECS = ["uncompressed", "snappy", "gzip", "lz4", "zstd"]


def test_columns_that_are_not_read_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    events = pl.DataFrame({name: pl.int_range(0, 300_000, eager=True) for name in EVENTS.columns})
    sparse = [pl.lit(None, dtype=pl.String).alias(f"empty_{number}") for number in range(80)]
    events.with_columns(sparse).write_parquet(path, statistics=False)
    assert 64 * path.stat().st_size < 300_000 * 83 * 8
    assert len(read_interactions(path, DataConfig()).events) == 300_000


def test_text_that_unpacks_to_a_thousand_times_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    text = pl.Series("item_id", ["a" * 40_000_000] * 4)
    EVENTS.with_columns(text).write_parquet(path, row_group_size=1, compression="zstd")
    with pytest.raises(InputError, match=r"events\.parquet unpacks to 160,000,\d{3} bytes, as no table of events does"):
        read_interactions(path, DataConfig())


@pytest.mark.parametrize("codec", CODECS)
def test_what_pages_unpack_to_is_the_same_in_every_codec(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "events.parquet"
    events = pl.DataFrame({"number": pl.int_range(0, 5000, eager=True), "flag": [True, False] * 2500})
    events = events.with_columns(text=pl.format("item {}", "number"), absent=pl.lit(None, dtype=pl.Float64))
    events.write_parquet(path, compression=codec, row_group_size=1000, data_page_size=2000)  # type: ignore[arg-type]
    assert unpacked_bytes(path, ["number"]) >= 5000 * 8
    assert unpacked_bytes(path, ["text"]) >= events["text"].str.len_bytes().sum()
    assert unpacked_bytes(path, events.columns) < 200_000


@pytest.mark.parametrize("content", [b"PAR1PAR1", b"\x00" * 40, b"\xff" * 4000, b"\x19" * 400 + b"\x90\x01\0\0PAR1"])
def test_what_is_not_laid_out_as_parquet_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"its layout is damaged|it (points|holds)"):
        unpacked_bytes(tmp_path / "events.parquet", ["item_id"])
