"""Packed tables: a small file may unpack to more than memory holds, so its size is checked before it is unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bst.errors import InputError

# Events pack by a factor of 3 to 20; runs of one byte, by gzip, of 1000.
RATIO = 64
ALWAYS = 2**26  # bytes that any file may unpack to
PIECE = 2**20
LOOK = 2**16  # bytes that decide what a file is
LONGEST_LINE = 2**24  # bytes of a first line, which may be a user's whole history
GZIP = b"\x1f\x8b"
UNPACK = 47  # of zlib: whatever a gzip or zlib header says


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Attributes:
        content: its first bytes, unpacked, with at least one whole line unless the line is longer than `LONGEST_LINE`.
        whole: whether `content` is the whole file.
        packed: whether it is packed by gzip.
    """

    content: bytes
    whole: bool
    packed: bool

    def lines(self) -> list[str]:
        """Return its whole lines as text, with what is not UTF-8 as U+FFFD, without a byte order mark."""
        text = self.content.decode("utf-8", errors="replace").removeprefix("\ufeff")
        lines = text.split("\n")
        return [line.removesuffix("\r") for line in (lines if self.whole or len(lines) == 1 else lines[:-1])]


def read_head(path: Path) -> Head:
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        for size in (LOOK, LONGEST_LINE):
            content = _unpacked(path, size) if packed else stream.read(size)
            if b"\n" in content or len(content) < size:
                break
            stream.seek(0)
    return Head(content, len(content) < size, packed)


def _unpacked(path: Path, size: int) -> bytes:
    """Return the first bytes of a gzip file's content, up to where it is damaged."""
    content = b""
    with path.open("rb") as stream:
        unpack, rest = zlib.decompressobj(UNPACK), b""
        try:
            while len(content) < size and (piece := rest or stream.read(LOOK)):
                if unpack.eof:  # another gzip stream follows
                    unpack = zlib.decompressobj(UNPACK)
                content += unpack.decompress(piece, size - len(content))
                rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
        except zlib.error:
            pass  # the reader of tables reports the error
    return content


@contextmanager
def plain_bytes(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream of a file's content, unpacked."""
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        yield cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if packed else stream


@contextmanager
def plain_lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Yield the lines of a text, unpacked."""
    with plain_bytes(path) as stream:
        yield iter(stream)


def require_modest_text(paths: Sequence[Path], table: Path) -> None:
    """Refuse text in gzip, one file or all parts of a `table` together, that unpacks to more than a table of events
    would.

    Raises:
        InputError: it is packed to less than a part in `RATIO`.
    """
    most, size = _most(paths), 0
    for path in paths:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP
        try:
            with gzip.open(path) as unpacked:
                while packed and size <= most and (piece := unpacked.read(PIECE)):
                    size += len(piece)
        except (OSError, EOFError, zlib.error):
            pass  # the reader of tables reports the error, if it is one
    if size > most:
        raise InputError(f"{table} unpacks to more than {most:,} bytes, as no table of events does; unpack it yourself")


def require_modest_rows(paths: Sequence[Path], table: Path, values: int, what: str) -> None:
    """Refuse Parquet files with so many `values` of 8 bytes that their size on disk cannot hold them apart.

    Raises:
        InputError: the message has `what`, the number of values in words.
    """
    if values * 8 > _most(paths):
        size = sum(path.stat().st_size for path in paths)
        raise InputError(
            f"{table} holds {what} in {size:,} bytes, as no table of events does; write it anew without compression"
        )


def _most(paths: Sequence[Path]) -> int:
    return max(RATIO * sum(path.stat().st_size for path in paths), ALWAYS)
