"""Tables that are packed: a small file may unpack to more than memory holds, so it is asked before it is unpacked."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from bst.errors import InputError

# Events pack by a factor of 3 to 20; runs of one byte, by gzip, of 1000.
RATIO = 64
ALWAYS = 2**26  # bytes that any file may unpack to
PIECE = 2**20
GZIP = b"\x1f\x8b"
# What polars would unpack as well, whatever the file is called: zstd, and zlib at each of its levels.
OTHERS = (b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def require_modest_text(path: Path) -> None:
    """Refuse text that unpacks to more than events do.

    Raises:
        InputError: it is packed by anything but gzip, or to less than a part in `RATIO`.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
    if head.startswith(OTHERS):
        raise InputError(f"{path} is packed by zstd or zlib; give plain text, or text packed by gzip")
    if not head.startswith(GZIP):
        return
    most, size = _most(path), 0
    try:
        with gzip.open(path) as unpacked:
            while size <= most and (piece := unpacked.read(PIECE)):
                size += len(piece)
    except (OSError, EOFError, zlib.error):
        pass  # the reader of tables says what is wrong, if it thinks so
    if size > most:
        raise InputError(f"{path} unpacks to more than {most:,} bytes, as no table of events does; unpack it yourself")


def require_modest_rows(path: Path, rows: int, columns: int) -> None:
    """Refuse a Parquet file of which so many `columns` hold more numbers than its bytes can tell apart.

    Raises:
        InputError: with the number of its rows.
    """
    if rows * columns * 8 > _most(path):
        raise InputError(
            f"{path} holds {rows:,} rows in {path.stat().st_size:,} bytes, as no table of events does; "
            "write it anew without compression"
        )


def _most(path: Path) -> int:
    return max(RATIO * path.stat().st_size, ALWAYS)
