"""Arrays on disk in numpy's format: written piece by piece, and mapped."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bst.errors import InputError
from bst.system.files import require_plain_file

PIECE = 2**24  # bytes that are read together
MAGIC = b"\x93NUMPY\x01\x00"


class GrowingArray:
    """A file of numpy's format, version 1.0, whose first axis grows; `close` completes it."""

    def __init__(self, path: Path, like: NDArray[Any]) -> None:
        self.stream, self.rows = path.open("wb"), 0
        self.dtype, self.width = like.dtype, like.shape[1:]
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Write more rows, of the dtype and width of the first."""
        assert (rows.dtype, rows.shape[1:]) == (self.dtype, self.width)
        self.stream.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        self.rows += len(rows)

    def close(self) -> None:
        self.stream.seek(0)
        self._write_header()  # which leaves room for the number of rows
        self.stream.close()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.rows, *self.width),
        }
        np.lib.format.write_array_header_1_0(self.stream, header)


class ArrayFile:
    """A file of numpy's format, version 1.0.

    Attributes:
        shape, dtype: those of the array.

    Raises:
        InputError: it is missing, or no such file of that size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            require_plain_file(path)
            with path.open("rb") as stream:
                self.shape, self.dtype, self.start = _read_header(stream)
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as an array ({error}); prepare the data again") from None
        whole = self.start + int(np.prod(self.shape)) * self.dtype.itemsize
        if self.dtype.hasobject or size != whole:
            raise InputError(f"{path} has {size:,} bytes, and its array {whole:,}; prepare the data again")

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def sha256(self, first: int, last: int) -> str:
        """Compute that of rows `[first, last)`, as hexadecimal digits."""
        sha256 = hashlib.sha256()
        with self.path.open("rb") as stream:
            stream.seek(self.start + first * self.row_bytes)
            left = (last - first) * self.row_bytes
            while left and (piece := stream.read(min(left, PIECE))):
                sha256.update(piece)
                left -= len(piece)
        return sha256.hexdigest()

    def read(self) -> NDArray[Any]:
        """Read the whole array into memory."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            return np.fromfile(stream, self.dtype).reshape(self.shape)

    def mapped(self) -> tuple[NDArray[Any], Callable[[], None]]:
        """Map the array, read-only; return it with a function that lets what was read of it go from memory."""
        if not np.prod(self.shape):
            return np.zeros(self.shape, self.dtype), lambda: None
        with self.path.open("rb") as stream:
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        array = np.frombuffer(mapping, self.dtype, offset=self.start).reshape(self.shape)
        return array, lambda: mapping.madvise(mmap.MADV_DONTNEED)


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    if stream.read(len(MAGIC)) != MAGIC:
        raise ValueError("it does not begin as numpy's files do")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if is_fortran:
        raise ValueError("its columns stand one after another")
    return shape, dtype, stream.tell()
