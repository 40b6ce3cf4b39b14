"""The proof: golden vectors, the float64 truth, and where two formats part."""

from export.proof.blocks import where_they_part
from export.proof.golden import BATCH_SIZES, Call, GoldenCall, cases, read_golden, worth_storing, write_golden
from export.proof.prove import Expected, PartedError, answer, prove

__all__ = [
    "BATCH_SIZES",
    "Call",
    "Expected",
    "GoldenCall",
    "PartedError",
    "answer",
    "cases",
    "prove",
    "read_golden",
    "where_they_part",
    "worth_storing",
    "write_golden",
]
