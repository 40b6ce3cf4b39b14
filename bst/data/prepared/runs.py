"""Sorted runs: the rows of a table in pieces on disk, each sorted, and read again in the order of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from bst.data.tables.table import BATCH_ROWS

SAMPLE = 2**12  # of so many rows of a run, one user is kept in memory


@dataclass
class SortedRuns:
    """Rows in files of `folder` that are called `name`, each sorted by user and then by time; rows that tie keep their
    order.

    Memory holds one piece, and of every `SAMPLE` rows the user.
    """

    folder: Path
    name: str
    paths: list[Path] = field(default_factory=list)
    samples: list[pl.Series] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        """Sort the next rows, with columns `user` and `time` of the same types as before, and write them."""
        if rows.is_empty():
            return
        rows = rows.sort("user", "time", maintain_order=True)
        path = self.folder / f"{self.name}-{len(self.paths):05}.arrow"
        rows.write_ipc(path, compression="uncompressed", record_batch_size=BATCH_ROWS)
        self.paths.append(path)
        self.samples.append(rows["user"].gather_every(SAMPLE))

    def remove(self) -> None:
        """Remove the files."""
        for path in self.paths:
            path.unlink()

    def some(self, rows: pl.Expr, columns: Sequence[str]) -> pl.LazyFrame:
        """Read columns of some rows of all runs into memory, one file after another."""
        return pl.concat([pl.scan_ipc(path).filter(rows).select(columns).collect() for path in self.paths]).lazy()

    def ranges(self, num_rows: int, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield all rows by user and time, about `num_rows` at a time, with those of a user together.

        Args:
            columns: the columns that are read, `user` among them; without `time`, the rows of a user have no order.
        """
        sample = pl.concat(self.samples).sort()
        borders = sample.gather_every(max(num_rows // SAMPLE, 1)).unique(maintain_order=True).to_list()
        by = [name for name in ("user", "time") if columns is None or name in columns]
        for low, high in zip(borders, [*borders[1:], None], strict=True):
            parts = [self._between(run, low, high, columns) for run in range(len(self.paths))]
            yield pl.concat(parts).sort(by, maintain_order=True)

    def _between(self, run: int, low: Any, high: Any, columns: Sequence[str] | None) -> pl.DataFrame:
        """Read the rows of users from `low` on, and below `high` unless that is None."""
        sample, user = self.samples[run], pl.col("user")
        first = max(int(sample.search_sorted(low, side="left")) - 1, 0) * SAMPLE
        rows = pl.scan_ipc(self.paths[run]).slice(first)
        if high is not None:
            last = int(sample.search_sorted(high, side="left")) * SAMPLE
            rows = pl.scan_ipc(self.paths[run]).slice(first, max(last - first, 0)).filter(user < high)
        rows = rows.filter(user >= low)
        return rows.select(columns or pl.all()).collect()
