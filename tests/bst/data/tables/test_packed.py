"""Packed tables are bounded by what is read of them."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, InputError, read_interactions
from bst.data.tables.sources.parquet import count_values


def test_columns_that_are_not_read_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    events = pl.DataFrame({name: pl.int_range(0, 300_000, eager=True) for name in ("user_id", "item_id", "timestamp")})
    sparse = [pl.lit(None, dtype=pl.String).alias(f"empty_{number}") for number in range(80)]
    events.with_columns(sparse).write_parquet(path, statistics=False)
    assert 64 * path.stat().st_size < 300_000 * 83 * 8
    assert len(read_interactions(path, DataConfig()).events) == 300_000


def test_lists_that_no_bytes_tell_apart_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    ones = pl.repeat(1, 9_000_000, eager=True, dtype=pl.Int64)
    pl.DataFrame({"user_id": [1], "item_id": [ones]}).write_parquet(path)
    with pytest.raises(
        InputError, match=r"events\.parquet holds 9,000,000 values in lists in [\d,]+ bytes, as no table"
    ):
        read_interactions(path, DataConfig())


@pytest.mark.parametrize(
    ("header", "row"),
    [(b"user_id,item_id,timestamp\n", b"1,5,1\n"), (b"", b'{"user_id": 1, "item_id": 5, "timestamp": 1}\n')],
)
def test_the_parts_of_a_folder_are_bounded_together(tmp_path: Path, header: bytes, row: bytes) -> None:
    packed = gzip.compress(header + row * (40_000_000 // len(row)), compresslevel=1)
    for name in ("part-1.gz", "part-2.gz"):  # neither is too large by itself
        (tmp_path / name).write_bytes(packed)
    with pytest.raises(InputError, match=r"unpacks to more than 67,108,864 bytes, as no table of events does"):
        read_interactions(tmp_path, DataConfig())


def test_a_footer_counts_each_element_of_a_list(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1, 2], "item_id": [[1, 2, 3], [4]]}).write_parquet(tmp_path / "lists.parquet")
    assert count_values(tmp_path / "lists.parquet", ["user_id", "item_id"]) == 6


def test_a_footer_that_is_spoilt_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "spoilt.parquet").write_bytes(b"PAR1" + b"\x19" * 40 + (40).to_bytes(4, "little") + b"PAR1")
    assert count_values(tmp_path / "spoilt.parquet", ["user_id"]) == 0
