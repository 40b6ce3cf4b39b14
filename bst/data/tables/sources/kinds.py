"""Kinds of files, recognised by their first bytes, never by their names; for kinds that are not read, a remedy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bst.data.tables.packed import Head, read_head
from bst.data.tables.sources.json_lines import open_json_lines
from bst.data.tables.sources.parquet import open_parquet
from bst.data.tables.sources.source import Layout, Source, as_utf8
from bst.data.tables.sources.text import open_text
from bst.errors import InputError

Open = Callable[[Path, Head, Layout], Source]


@dataclass(frozen=True)
class Kind:
    """A kind of files, recognised by the first bytes.

    Attributes:
        name: as in "it is ...".
        begins: a test of a file's first bytes.
        open: opens a file; None for a kind that is not read.
        remedy: for a kind that is not read; `{file}` is the path, `{csv}` the same with that ending.
        through_gzip: whether the remedy also works on a file that is packed by gzip.
    """

    name: str
    begins: Callable[[bytes], bool]
    open: Open | None = None
    remedy: str = ""
    through_gzip: bool = False

    def refusal(self, path: Path, packed: bool) -> str:
        file = shlex.quote(str(path))
        if packed and not self.through_gzip:
            return f"{path} is {self.name}, packed by gzip besides; say: gunzip -c {file} > {_new(path, '')}"
        names = {suffix: _new(path, f".{suffix}") for suffix in ("csv", "jsonl", "parquet")}
        remedy = self.remedy.format(file=file, utf8=as_utf8(path, "UTF-16", packed), **names)
        return f"{path} is {self.name}; {remedy}"


def _new(path: Path, suffix: str) -> str:
    """Name a file beside `path`, for a shell."""
    other = path.with_suffix(suffix)
    return shlex.quote(str(other if other != path else f"{path}{suffix or '.plain'}"))


def starts(*signs: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda content: content[at:].startswith(signs)


def _holds_excel(content: bytes) -> bool:
    return content.startswith(b"PK") and (b"[Content_Types].xml" in content or b"xl/" in content)


def _is_wide_text(content: bytes) -> bool:
    """Return whether it is UTF-16, with a mark or with every other byte 0."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    halves = (content[0:512:2], content[1:512:2])
    return len(content) >= 8 and any(set(half) == {0} for half in halves) and set(halves[0]) != set(halves[1])


def _begins(content: bytes, signs: str) -> bool:
    return re.match(rf"(\xef\xbb\xbf)?\s*{signs}".encode("latin-1"), content) is not None


def _python(library: str, read: str, write: str) -> str:
    code = f"import {library} as t, sys; t.{read}(sys.argv[1]).{write}(sys.argv[2])"
    return f'write it as Parquet: python3 -c "{code}" {{file}} {{parquet}}'


PARQUET = Kind("Parquet", starts(b"PAR1"), open_parquet)
JSON_LINES = Kind("JSON lines", lambda content: _begins(content, r"\{"), open_json_lines)
TEXT = Kind("text", lambda content: True, open_text)
DATAFRAME = Kind("a DataFrame", lambda content: False)  # in memory: no file begins so
# The first that fits.
KINDS = (
    PARQUET,
    Kind("an Excel file", _holds_excel, remedy="save it as CSV UTF-8 in Excel"),
    Kind("an old Excel file", starts(b"\xd0\xcf\x11\xe0"), remedy="save it as CSV UTF-8 in Excel"),
    Kind("a zip archive", starts(b"PK\x03\x04", b"PK\x05\x06"), remedy="say: unzip {file}"),
    Kind("packed by bzip2", starts(b"BZh"), remedy="say: bunzip2 -k {file}"),
    Kind("packed by zstd", starts(b"\x28\xb5\x2f\xfd"), remedy="say: unzstd {file}"),
    Kind("packed by xz", starts(b"\xfd7zXZ\x00"), remedy="say: unxz -k {file}"),
    Kind("packed by lz4", starts(b"\x04\x22\x4d\x18"), remedy="say: unlz4 {file}"),
    # At each of its levels; polars would unpack it, whatever the file is called.
    Kind(
        "packed by zlib", starts(b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), remedy="give plain text or gzip"
    ),
    Kind("a 7z archive", starts(b"7z\xbc\xaf\x27\x1c"), remedy="say: 7z x {file}"),
    Kind("a rar archive", starts(b"Rar!\x1a\x07"), remedy="say: unrar x {file}"),
    Kind("a tar archive", starts(b"ustar", at=257), remedy="say: tar -xf {file}", through_gzip=True),
    Kind("an Arrow or feather file", starts(b"ARROW1", b"FEA1"), remedy=_python("polars", "read_ipc", "write_parquet")),
    Kind(
        "a pickle",
        starts(*(bytes([0x80, version]) for version in range(2, 6))),
        remedy=_python("pandas", "read_pickle", "to_parquet"),
    ),
    Kind("an HDF5 file", starts(b"\x89HDF\r\n\x1a\n"), remedy=_python("pandas", "read_hdf", "to_parquet")),
    Kind("an ORC file", starts(b"ORC"), remedy=_python("pandas", "read_orc", "to_parquet")),
    Kind(
        "an Avro file",
        starts(b"Obj\x01"),
        remedy="write it as Parquet, or as JSON lines: avro-tools tojson {file} > {jsonl}",
    ),
    Kind(
        "a database of SQLite",
        starts(b"SQLite format 3\x00"),
        remedy="say: sqlite3 -header -csv {file} 'select * from TABLE' > {csv}",
    ),
    Kind("a database of DuckDB", starts(b"DUCK", at=8), remedy="write its table: COPY TABLE TO {parquet}"),
    Kind("an array of numpy", starts(b"\x93NUMPY"), remedy="write it as CSV with a line of names, or as Parquet"),
    Kind("an encrypted Parquet file", starts(b"PARE"), remedy="write it without encryption"),
    Kind("a pointer of Git LFS, not the file itself", starts(b"version https://git-lfs"), remedy="say: git lfs pull"),
    Kind(
        "a page of HTML or XML, not a table",
        lambda content: _begins(content.lower(), r"<(!doctype|html|\?xml)"),
        remedy="get the file itself; what was loaded may be an error of the server",
    ),
    Kind("text in UTF-32", starts(b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"), remedy="write it in UTF-8"),
    Kind("text in UTF-16", _is_wide_text, remedy="say: {utf8}", through_gzip=True),
    JSON_LINES,
    Kind(
        "a JSON array",
        lambda content: _begins(content, r"\[\s*[\[{]"),
        remedy="write an object a line: jq -c '.[]' {file} > {jsonl}",
    ),
    TEXT,
)


def kind_of(content: bytes) -> Kind:
    return next(kind for kind in KINDS if kind.begins(content))


def open_sources(paths: Sequence[Path], layout: Layout, table: Path) -> tuple[Kind, list[Source]]:
    """Open the parts of a table.

    Raises:
        InputError: they are of different kinds, or of one that is not read; the message has the remedy.
    """
    heads = [read_head(path) for path in paths]
    kinds = {kind_of(head.content): path for path, head in zip(paths, heads, strict=True)}
    if len(kinds) > 1:
        each = ", ".join(f"{path} is {kind.name}" for kind, path in kinds.items())
        raise InputError(f"{table} holds files of different kinds: {each}; give parts of one table")
    (kind,) = kinds
    if kind.open is None:
        raise InputError(kind.refusal(paths[0], heads[0].packed))
    return kind, [kind.open(path, head, layout) for path, head in zip(paths, heads, strict=True)]
