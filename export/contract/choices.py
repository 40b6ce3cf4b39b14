"""Choices made for a bundle because they are fastest, as the manifest records them."""

from __future__ import annotations

from bst.config import Frozen
from export.contract.settings import SessionOptions


class Rates(Frozen):
    """Operations of one thread in a microsecond; `pick` and the overheads are microseconds.

    Attributes:
        cache_bytes: a larger table is streamed from memory in every call.
        cached_bytes: of a table in the cache, in a product with one row.
        streamed_bytes: of a float32 table that is not; `streamed_table_bytes` of one of integers in blocks.
        small_bytes: of the small matrices that a user vector is multiplied with.
        float_products: multiplications with sum, float32, in a product with many rows; `integer_products` of bytes.
        gathered_bytes: of rows picked one by one for one user; `gathered_bytes_many` for many.
        pick: for each item, to find the highest of one row; `pick_many` of each of many rows.
    """

    cache_bytes: float = 24e6
    cached_bytes: float = 60e3
    streamed_bytes: float = 22e3
    streamed_table_bytes: float = 25e3
    small_bytes: float = 18e3
    float_products: float = 35e3
    integer_products: float = 140e3
    gathered_bytes: float = 8.5e3
    gathered_bytes_many: float = 5e3
    pick: float = 1.1e-3
    pick_many: float = 1.8e-3
    call_overhead: float = 20.0
    scan_overhead: float = 15.0
    exact_overhead: float = 5.0
    wider_overhead: float = 40.0
    wider_pick: float = 1.9e-3


# Of one thread of a Zen 4 core with ONNX Runtime 1.32; `bst export --tune` measures the same numbers where it runs.
ZEN_4 = Rates()


class ScanRecord(Frozen):
    """A compact copy of the output layer: bytes an item, and the number of items that are always scored exactly."""

    coordinates: int
    first: int


class ShortlistRecord(Frozen):
    """The way `top_k` in ONNX finds its items: by `few` in calls of up to `few_rows` rows, else by `many`.

    Without `many`, calls of more rows read the output layer itself.
    """

    few_rows: int
    few: ScanRecord
    many: ScanRecord | None

    def scan(self, rows: int) -> ScanRecord | None:
        """Return the copy that a call of so many rows reads, or None."""
        return self.few if rows <= self.few_rows else self.many


class TuningRow(Frozen):
    """The time of a call of the main signature with some session options: the median over rounds, microseconds."""

    options: SessionOptions
    batch_size: int
    p50_us: float
    rounds: int


class Tuning(Frozen):
    """The session options of ONNX Runtime that were fastest on a machine, and all that were tried there.

    `rates` are those of the machine, by which the shortlist was chosen; None in bundles older than that measurement.
    """

    cpu: str
    cores: int
    options: SessionOptions
    rows: tuple[TuningRow, ...]
    rates: Rates | None = None
