"""Files as people have them, by the words of docs/reference/tables.md: each is written into the folder it is given."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

Write = Callable[[Path], Path]
# The events of every file that is accepted, in the order of time: user, item, and Unix seconds.
EVENTS = [(1, 30, 1_569_888_000), (1, 10, 1_569_974_400), (2, 10, 1_569_888_000), (2, 30, 1_570_060_800)]
SHUFFLED = [EVENTS[1], EVENTS[3], EVENTS[0], EVENTS[2]]
NAMES = ("user_id", "item_id", "timestamp")
FRAME = pl.DataFrame(SHUFFLED, schema=[*NAMES], orient="row")
LISTS = pl.DataFrame({"user_id": [1, 2], "item_id": [[30, 10], [10, 30]]})
TIMES = pl.DataFrame({"timestamp": [[EVENTS[0][2], EVENTS[1][2]], [EVENTS[2][2], EVENTS[3][2]]]})


def text(content: str | bytes, name: str = "events.csv") -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return Path(name)

    return write


def lines(separator: str, *, header: str | None = None, end: str = "\n", rating: bool = False, last: str = "\n") -> str:
    """Write the events, after `header`; with a column of ratings if that is asked for."""
    names = NAMES[:2] + ("rating",) * rating + NAMES[2:]
    rows = [[user, item, *[3] * rating, time] for user, item, time in SHUFFLED]
    head = separator.join(names) if header is None else header
    written = [head] * bool(head) + [separator.join(map(str, row)) for row in rows]
    return end.join(written) + last


def parquet(frame: pl.DataFrame, name: str = "events.parquet") -> Write:
    def write(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / name)
        return Path(name)

    return write


def folder_of(files: dict[str, str | pl.DataFrame], path: str) -> Write:
    """Write several files, and give the folder or pattern that they are read by."""

    def write(folder: Path) -> Path:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pl.DataFrame):
                content.write_parquet(folder / name)
            else:
                (folder / name).write_text(content)
        return Path(path)

    return write


def dates(form: str) -> pl.DataFrame:
    written = [datetime.fromtimestamp(time, UTC).strftime(form) for time in FRAME["timestamp"]]
    return FRAME.with_columns(timestamp=pl.Series(written))


def csv(frame: pl.DataFrame) -> Write:
    return text(frame.write_csv())


def _zip(names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(names, "x")
    return content.getvalue()


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("events.csv"))
    return content.getvalue()


def _ipc() -> bytes:
    content = io.BytesIO()
    FRAME.write_ipc(content)
    return content.getvalue()


def _avro() -> bytes:
    content = io.BytesIO()
    FRAME.write_avro(content)
    return content.getvalue()


def _database(folder: Path) -> Path:
    connection = sqlite3.connect(folder / "events.db")
    connection.execute("create table events (user_id)")
    connection.commit()
    connection.close()
    return Path("events.db")


PARTS = {f"events/part-0000{place}.snappy.parquet": FRAME[place : place + 1] for place in range(4)}
SPARK = {**PARTS, "events/_SUCCESS": "", "events/.part-00000.crc": "x", "events/_metadata": "x"}
HIVE = {
    f"events/date={datetime.fromtimestamp(time, UTC):%Y-%m-%d}/part-{place}.csv": f"user_id,item_id\n{user},{item}\n"
    for place, (user, item, time) in enumerate(EVENTS)
}
TYPED = lines("\t", header="user_id:token\titem_id:token\ttimestamp:float")
JSON = FRAME.write_ndjson()
SEQUENCES = LISTS.write_ndjson()

ACCEPTED: dict[str, Write] = {
    "CSV": text(lines(",")),
    "CSV in gzip, whatever it is called": text(gzip.compress(lines(",").encode()), "events.dat"),
    "fields between `;`": text(lines(";")),
    "fields between tabs": text(lines("\t"), "events.data"),
    "fields between `\\|`": text(lines("|"), "events"),
    "fields between blanks, any number of them": text(lines("   "), "events.txt"),
    "quotes around fields between blanks": text(
        '"user_id" "item_id" "timestamp"\n' + lines(" ", header="").replace("30", '"30"')
    ),
    "fields between `::`": text(lines("::"), "events.dat"),
    "fields between anything else": text(lines("~~"), "events.dat"),
    "a separator within quotes": text(lines(",", header="user_id,item_id,timestamp").replace("30,", '"30",')),
    "rows over several lines, by quotes": text(
        lines(",", header="user_id,item_id,timestamp,note", end=',"two\nlines"\n')
        .replace('note,"two\nlines"', "note", 1)
        .removesuffix("\n")
        + ',""\n'
    ),
    "no header": text(lines("::", header="", rating=True), "ratings.dat"),
    "names by RecBole": text(TYPED, "events.inter"),
    "lists by RecBole": text("user_id:token\titem_id:token_seq\n1\t30 10\n2\t10 30\n", "events.inter"),
    "blanks around names": text(lines(",", header=" user_id , item_id,timestamp ")),
    "blanks around values": text(lines(", ", header="user_id,item_id,timestamp")),
    "blank lines": text(lines(",", end="\n\n", last="\n\n\n")),
    "lines that end in CRLF, the last in nothing": text(lines(",", end="\r\n", last="")),
    "a byte order mark": text(codecs.BOM_UTF8 + lines(",").encode()),
    "JSON lines": text(JSON, "events.json"),
    "Parquet": parquet(FRAME, "events"),
    "a folder of Spark's": folder_of(SPARK, "events"),
    "a pattern of files": folder_of(SPARK, "events/*.parquet"),
    "folders by Hive": folder_of(dict(HIVE), "events"),
    "other names": csv(FRAME.rename({"user_id": "visitorid", "item_id": "itemid"})),
    "numbers as times, of any type": parquet(FRAME.with_columns(pl.col("timestamp").cast(pl.Decimal(20, 2)))),
    "dates as times": csv(dates("%Y-%m-%d")),
    "dates with a zone": csv(dates("%Y-%m-%d %H:%M:%S UTC")),
    "dates in Parquet, as text": parquet(dates("%Y-%m-%dT%H:%M:%SZ")),
    "dates of another form": csv(dates("%d.%m.%Y")),
    "no times, in order": text("user_id,item_id\n2,10\n1,30\n1,10\n2,30\n"),
    "a row a user, lists in Parquet": parquet(LISTS),
    "a row a user, lists of items and times": parquet(LISTS.hstack(TIMES)),
    "a row a user, lists in JSON lines": text(SEQUENCES, "events.jsonl"),
    "a row a user, lists in cells": text('user_id,item_id\n1,"[30, 10]"\n2,"[10, 30]"\n'),
    "a line a user": text("1 30 10\n2 10 30\n", "sequences.txt"),
    "ids of users as numbers and text": csv(FRAME.with_columns(pl.col("user_id").replace_strict({1: "1", 2: "x2"}))),
    "several kinds of events": text(lines(",", rating=True).replace(",3,", ",buy,") + "1,99,view,1\n"),
    "users or items that are rare": text(lines(",") + "3,40,1\n1,50,2\n"),
}


def _refused_json() -> dict[str, Write]:
    return {
        "a JSON array": text('[{"user_id": 1, "item_id": 5, "timestamp": 1}]', "events.json"),
        "JSON over several lines": text('{\n  "user_id": 1\n}\n', "events.json"),
        "Python's dictionaries": text("{'user_id': 1, 'item_id': 5}\n", "events.json"),
        "JSON by columns": text('{"user_id": {"0": 1}, "item_id": {"0": 5}}\n', "events.json"),
    }


REFUSED: dict[str, Write] = {
    "a line before the header": text("sep=;\nuser_id;item_id;timestamp\n1;5;1\n"),
    "comments before the header": text("# users and items\n# user item\n1 5\n2 6\n", "out.events"),
    "no header, not said": text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "u.data"),
    "a separator that is not looked for": text(lines("^")),
    "two possible separators": text("1,5;3\n1,6;4\n", "events.txt"),
    "a header where none was said": text(lines(",")),
    "other names, not said": csv(FRAME.rename({"user_id": "Customer ID", "item_id": "StockCode"})),
    "no column of times": text("user_id,item_id\n1,5\n"),
    "a row that is too short": text("user_id,item_id,timestamp\n1,5,1\n1,6\n"),
    "a row that is too long": text("user_id::item_id::timestamp\n1::5::1\n1::6::2::3\n", "events.dat"),
    "a quote that nothing closes": text('user_id,item_id,timestamp\n1,"5,1\n1,6,2\n'),
    "quotes that swallow lines between tabs": text('user_id\titem_id\ttimestamp\n1\t"5\t1\n1\t6"\t2\n', "events.tsv"),
    "quotes that mean nothing, between tabs": text('user_id\titem_id\ttimestamp\n1\t5" disc\t1\n', "events.tsv"),
    "a quote within a field": text('user_id,item_id,timestamp\n1,5" disc,1\n1,6" disc,2\n'),
    "text after a closing quote": text('user_id,item_id,timestamp\n1,"Best" of,1\n'),
    "a blank before a quote": text('user_id, item_id, timestamp\n1, "a, 4", 1\n'),
    "quotes behind backslashes, by Spark": text('user_id,item_id,timestamp\n1,"the \\"best\\" of",1\n'),
    "a line a user, not said": text("1 5 6 7\n2 6\n3 8 9 10 11\n", "sequences.txt"),
    "lists of different lengths": text('user_id,item_id,timestamp\n1,"[5, 6]","[1]"\n'),
    "lists of times alone": text('user_id,item_id,timestamp\n1,5,"[1, 2]"\n'),
    "pairs in cells": text('user_id,item_id\n1,"[(5, 1), (6, 2)]"\n'),
    "lists of lists in JSON lines": text('{"user_id": 1, "item_id": [[5, 1], [6, 2]]}\n', "events.jsonl"),
    "lists of structs in Parquet": parquet(pl.DataFrame({"user_id": [1], "item_id": [[{"item": 5, "time": 1}]]})),
    "lists that numpy has cut": text("user_id,item_id\n1,[1 2 ... 8 9]\n"),
    "items as numbers and text": text("user_id,item_id,timestamp\n1,5,1\n1,x5,2\n"),
    "several problems": text("user_id,item_id,timestamp\n1,5,soon\n1,x5,2\n"),
    "a value that never occurs": text("user_id,item_id,timestamp,event\n1,5,1,view\n1,6,2,cart\n"),
    "nobody with so many events": text(lines(",")),
    "Latin-1": text("user_id,item_id,timestamp\n1,café,1\n".encode("latin-1")),
    "UTF-16": text(lines(",").encode("utf-16")),
    "lines that end in CR": text(lines(",", end="\r")),
    **_refused_json(),
    "a folder without parts": folder_of({"events/_SUCCESS": ""}, "events"),
    "a pattern of nothing": folder_of({"events/_SUCCESS": ""}, "events/*.csv"),
    "a part with other columns": folder_of(
        {"events/a.csv": lines(","), "events/b.csv": "uid,item_id\n1,5\n"}, "events"
    ),
    "parts of two kinds": folder_of({"events/a.csv": lines(","), "events/b.json": JSON}, "events"),
    "a Delta table": folder_of({"events/_delta_log/0.json": "{}", **PARTS}, "events"),
    "a Hudi table": folder_of({"events/.hoodie/x": "{}", **PARTS}, "events"),
    "an Iceberg table": folder_of({"events/metadata/v1.metadata.json": "{}", **PARTS}, "events"),
    "Parquet within gzip": text(gzip.compress(b"PAR1"), "events.parquet.gz"),
    "encrypted Parquet": text(b"PARE", "events.parquet"),
    "a zip archive": text(_zip("events.csv"), "events.zip"),
    "a tar archive": text(_tar(), "events.tar.gz"),
    "Excel": text(_zip("[Content_Types].xml"), "events.xlsx"),
    "Excel of before 2007": text(b"\xd0\xcf\x11\xe0", "events.xls"),
    "Arrow or feather": text(_ipc(), "events.feather"),
    "bzip2": text(bz2.compress(b"x"), "events.csv.bz2"),
    "xz": text(lzma.compress(b"x"), "events.csv.xz"),
    "zstd": text(b"\x28\xb5\x2f\xfd", "events.csv.zst"),
    "zlib": text(b"\x78\x9c", "events.csv.z"),
    "lz4": text(b"\x04\x22\x4d\x18", "events.csv.lz4"),
    "7z": text(b"7z\xbc\xaf\x27\x1c", "events.7z"),
    "rar": text(b"Rar!\x1a\x07", "events.rar"),
    "an array of numpy": text(b"\x93NUMPY", "events.npy"),
    "a pickle": text(pickle.dumps([1]), "events.pkl"),
    "HDF5": text(b"\x89HDF\r\n\x1a\n", "events.h5"),
    "ORC": text(b"ORC", "events.orc"),
    "Avro": text(_avro(), "events.avro"),
    "SQLite": _database,
    "DuckDB": text(bytes(8) + b"DUCK", "events.duckdb"),
    "UTF-32": text(lines(",").encode("utf-32")),
    "bytes that are no text": text(bytes(range(256)), "events.bin"),
    "a page of HTML": text("<!DOCTYPE html>\n<html>", "events.csv"),
    "a pointer of Git LFS": text("version https://git-lfs.github.com/spec/v1\n", "events.csv"),
}
