"""Keys of users: each stands once in the input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from bst.errors import InputError
from export.batch.units import InputFile

PASS = 4_000_000  # keys that are held at once


def require_keys(files: Sequence[InputFile], column: str) -> None:
    """Refuse an input in which a user stands twice, or a row has none.

    The keys are read in passes, each of which looks at those of one residue of a hash, so that memory does not grow
    with the number of users.

    Raises:
        InputError: the message has the key.
    """
    passes = math.ceil(sum(file.rows for file in files) / PASS)
    for residue in range(passes):
        keys = pl.concat([_keys(file, column, passes, residue) for file in files])
        if len(twice := keys.filter(keys.is_duplicated())):
            key = twice.min()
            paths = ", ".join([file.path for file in files if _holds(file, column, key)][:2])
            raise InputError(f"user {key!r} stands more than once in column {column!r} of {paths}; keep one row a user")


def _keys(file: InputFile, column: str, passes: int, residue: int) -> pl.Series:
    pieces = []
    for start in range(0, file.rows, PASS):
        keys = file.read((column,), start, min(PASS, file.rows - start))[column]
        if keys.null_count():
            row = start + int(keys.is_null().arg_max() or 0)
            raise InputError(f"{file.path}: row {row:,} has no user in column {column!r}; drop such rows")
        pieces.append(keys if passes == 1 else keys.filter(keys.hash() % passes == residue))
    return pl.concat(pieces)


def _holds(file: InputFile, column: str, key: object) -> bool:
    return bool((file.read((column,), 0, file.rows)[column] == key).any())
