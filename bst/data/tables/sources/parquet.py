"""Parquet as a source, and the number of its values as its footer states it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bst.data.tables.packed import Head
from bst.data.tables.sources.source import Layout, Source, stripped
from bst.errors import InputError

FOOTER = 2**22  # bytes of a footer that is looked through
# Types of Thrift's compact protocol.
STOP, TRUE, FALSE, BYTE, INTEGERS, DOUBLE, BINARY, LIST, SET, STRUCT = 0, 1, 2, 3, (4, 5, 6), 7, 8, 9, 10, 12
# Numbers of the fields in parquet.thrift of Apache Parquet.
ROW_GROUPS, CHUNKS, CHUNK, NAMES, NUM_VALUES = 4, 1, 3, 3, 5


def open_parquet(path: Path, head: Head, layout: Layout) -> Source:
    """Open a Parquet file.

    Raises:
        InputError: it is packed by gzip as a whole.
    """
    if head.packed:
        raise InputError(f"{path} is Parquet packed by gzip; say: gunzip -c {shlex.quote(str(path))} > F.parquet")
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    own = frame.collect_schema().names()
    names, remarks = stripped(own)
    if len(set(names)) == len(names):
        frame = frame.rename(dict(zip(own, names, strict=True)))
    else:
        names, remarks = own, ()
    return Source(tuple(names), frame, is_text=False, remarks=remarks)


def count_values(path: Path, columns: Sequence[str]) -> int:
    """Count the values of `columns`, each element of a list by itself; 0 where the footer does not state it."""
    with path.open("rb") as stream:
        stream.seek(-8, 2)
        length = int.from_bytes(stream.read(4), "little")
        if not 0 < length <= min(FOOTER, path.stat().st_size - 8):
            return 0
        stream.seek(-8 - length, 2)
        footer = _Footer(stream.read(length))
    try:
        chunks = [chunk[CHUNK] for group in footer.struct()[ROW_GROUPS] for chunk in group[CHUNKS]]
        counts: dict[str, int] = {}
        for chunk in chunks:
            name = chunk[NAMES][0].decode().strip()
            counts[name] = counts.get(name, 0) + int(chunk[NUM_VALUES])
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return 0
    return sum(counts.get(name, 0) for name in columns)


class _Footer:
    """Values of Thrift's compact protocol, one after another."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def struct(self) -> dict[int, Any]:
        """Read a struct: its values by the number of their field."""
        values: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) & 15 != STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            values[number] = head & 15 == TRUE if head & 15 in (TRUE, FALSE) else self._value(head & 15)
        return values

    def _value(self, kind: int) -> Any:
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._byte() if head & 15 in (TRUE, FALSE) else self._value(head & 15) for _ in range(size)]
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BYTE:
            return self._byte()
        if kind in INTEGERS:
            return self._integer()
        raise ValueError(kind)  # maps stand nowhere in a footer

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError(value)

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        if self.place + count > len(self.content):
            raise ValueError(count)
        self.place += count
        return self.content[self.place - count : self.place]
