"""What was chosen for a bundle because it is fastest, as the manifest tells it."""

from __future__ import annotations

from bst.config import Frozen
from export.contract.settings import SessionOptions
from export.shortlist.rates import Rates


class ScanRecord(Frozen):
    """A compact copy of the output layer: bytes an item, and how many items are scored exactly in any case."""

    coordinates: int
    first: int


class ShortlistRecord(Frozen):
    """How `top_k` in ONNX looks for its items: by `few` in calls of up to `few_rows` rows, else by `many`.

    Without `many`, calls of more rows read the output layer itself.
    """

    few_rows: int
    few: ScanRecord
    many: ScanRecord | None

    def scan(self, rows: int) -> ScanRecord | None:
        """The copy that a call of so many rows reads, or None."""
        return self.few if rows <= self.few_rows else self.many


class TuningRow(Frozen):
    """What a call of the main signature took with some session options: the median over rounds, microseconds."""

    options: SessionOptions
    batch_size: int
    p50_us: float
    rounds: int


class Tuning(Frozen):
    """Session options of ONNX Runtime that were the fastest on a machine, and all that were tried there.

    `rates` are those of the machine, by which the shortlist was chosen; none in bundles of before they were measured.
    """

    cpu: str
    cores: int
    options: SessionOptions
    rows: tuple[TuningRow, ...]
    rates: Rates | None = None
