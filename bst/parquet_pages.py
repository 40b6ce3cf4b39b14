"""How many bytes the pages of a Parquet file unpack to: read from the headers that its readers make room by.

The layout is that of parquet.thrift (Apache Parquet 2.10), in Thrift's compact protocol: a struct is here a dictionary
from the numbers of its fields to their values.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from pathlib import Path
from typing import Any

Struct = dict[int, Any]
Data = bytes | mmap.mmap

ROW_GROUPS, COLUMNS = 4, 1  # of FileMetaData, of RowGroup
FACTS, PATH, PACKED_BYTES, DATA_OFFSET, DICTIONARY_OFFSET = 3, 3, 7, 9, 11  # of ColumnChunk, the others of its metadata
PAGE_BYTES, PAGE_PACKED_BYTES = 2, 3  # of PageHeader
STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)


def unpacked_bytes(path: Path, columns: Collection[str]) -> int:
    """Sum up what the pages of `columns` unpack to.

    Raises:
        ValueError: the file is not laid out as Parquet is.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            footer = _Reader(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little")).struct()
            chunks = [chunk[FACTS] for group in footer[ROW_GROUPS] for chunk in group[COLUMNS]]
            chunks = [facts for facts in chunks if facts[PATH][0].decode() in columns]
            if sum(facts[PACKED_BYTES] for facts in chunks) > len(data):
                raise ValueError("its columns overlap")
            return sum(_of_chunk(data, facts) for facts in chunks)
        except (LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"its layout is damaged ({error})") from None


def _of_chunk(data: Data, facts: Struct) -> int:
    place = facts.get(DICTIONARY_OFFSET) or facts[DATA_OFFSET]
    end, found = place + facts[PACKED_BYTES], 0
    while place < end:
        reader = _Reader(data, place)
        header = reader.struct()
        if min(header[PAGE_BYTES], header[PAGE_PACKED_BYTES]) < 0:
            raise ValueError("a page of it has a negative size")
        found += header[PAGE_BYTES]
        place = reader.place + header[PAGE_PACKED_BYTES]
    return found


class _Reader:
    """Reads the compact protocol from a place on; what ends too early is an IndexError."""

    def __init__(self, data: Data, place: int) -> None:
        if place < 0:
            raise ValueError("it points before its beginning")
        self.data, self.place = data, place

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == TRUE if kind in (TRUE, FALSE) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE, BYTE):
            return self._byte()
        if kind in (I16, I32, I64):
            return self._integer()
        if kind in (DOUBLE, BINARY):
            return self._bytes(8 if kind == DOUBLE else self._varint())
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(count)]
        if kind == MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
        if kind == STRUCT:
            return self.struct()
        raise ValueError(f"it holds the unknown type {kind}")

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _bytes(self, count: int) -> bytes:
        self.place += count
        return self.data[self.place - count : self.place]

    def _varint(self) -> int:
        value, shift = 0, 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("it holds a number beyond 64 bits")
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
