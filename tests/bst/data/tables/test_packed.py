"""What is wide but not read is not counted where packed tables are bounded."""

from pathlib import Path

import polars as pl

from bst import DataConfig, read_interactions


def test_columns_that_are_not_read_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    events = pl.DataFrame({name: pl.int_range(0, 300_000, eager=True) for name in ("user_id", "item_id", "timestamp")})
    sparse = [pl.lit(None, dtype=pl.String).alias(f"empty_{number}") for number in range(80)]
    events.with_columns(sparse).write_parquet(path, statistics=False)
    assert 64 * path.stat().st_size < 300_000 * 83 * 8
    assert len(read_interactions(path, DataConfig()).events) == 300_000
