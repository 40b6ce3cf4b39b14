"""The proof: golden vectors, the float64 truth, and the first block where two formats differ."""

from export.proof.blocks import where_they_part
from export.proof.eager import answer
from export.proof.expected import Expected
from export.proof.golden import Call, GoldenCall, cases, read_golden, write_golden
from export.proof.prove import prove

__all__ = [
    "Call",
    "Expected",
    "GoldenCall",
    "answer",
    "cases",
    "prove",
    "read_golden",
    "where_they_part",
    "write_golden",
]
