"""Recordings: the number of golden vectors in a bundle, and the users they are of."""

from __future__ import annotations

from dataclasses import dataclass

from bst.system.registry import Registry


@dataclass(frozen=True)
class Recording:
    """A choice of `bst export --golden`.

    Attributes:
        about: what it records, for the help.
        numbers: a call with more output numbers than this is proven at export but not recorded; see `worth_storing`.
        kept: whether the golden vectors stay in the bundle when they have proven it.
        onnx_layout: the calls are also written as ONNX test data, which other tools read: two files or more a call.
        real_users: their histories are those of held-out users, not made up.
    """

    name: str
    about: str
    numbers: int = 2_000
    kept: bool = True
    onnx_layout: bool = False
    real_users: bool = True


def holds_real_users(golden: str) -> bool:
    """Return whether golden vectors of a choice, also one of a later version, may be histories of users."""
    if golden not in RECORDINGS:
        return True
    recording = RECORDINGS.find(golden)
    return recording.kept and recording.real_users


RECORDINGS: Registry[Recording] = Registry(
    "golden",
    (
        Recording("none", "nothing", kept=False, real_users=False),
        Recording("small", "calls with few rows"),
        Recording("full", "all calls, also as ONNX test data", numbers=10_000, onnx_layout=True),
        Recording("synthetic", "as small, of made-up histories", real_users=False),
    ),
)
