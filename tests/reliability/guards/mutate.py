"""Changes to a valid file, drawn at random: to its bytes, or to what it is made of."""

from __future__ import annotations

import gzip
import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

LONGEST_RUN = 3000
HUGE = 12345678901234567890123456789
DIGITS = "<digits>"  # stands for an integer longer than Python writes
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 99, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64, HUGE),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"), DIGITS),
    *("", "0", "a", "\ud800", "\x00", "\n", "\u202e", "é", "../x", "/", "a" * LONGEST_RUN),
    *("__class__", "F8_E4M3", "F4", "C64"),
    *([], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"a": {}}}),
)
DEEP = 20_000
# A text of gigabytes and one of exabytes, a far place in the memo, tuples in one another, a step that is not written.
STEPS = (
    *(b"X\xf0\xff\xff\x7f", b"\x8d" + b"\xff" * 7 + b"\x0f", b"Nr\0\0\0\x20", b")" + b"\x85" * DEEP * 100),
    *(b"N", b"0", b"(", b"t", b")", b"}", b"]", b"R", b"b", b"Q", b"h\0", b"q\0", b"\x81", b"\x85"),
)
AROUND = ((b"(", b")"), (b"(\n", b")"), (b"List[", b"]"), (b"-", b""), (b"not ", b""), (b'"', b'"'))
BORDERS = tuple(value.to_bytes(8, "little", signed=True) for value in (0, 1, -1, 2**31, 2**32, 2**62, 2**63 - 1, -2))


def mutated(name: str, content: bytes, rng: random.Random) -> bytes:
    """Change a file once or a few times, mostly by its kind, else by its bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        kind = KINDS.get(PurePath(name).suffix)
        try:
            content = kind(content, rng) if kind and rng.random() < 0.8 else _bytes(content, rng)
        except Exception:  # the change before has spoilt it for its kind
            content = _bytes(content, rng)
    return content


def _bytes(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    how = rng.randrange(8)
    if how == 0 and content:
        place = rng.randrange(len(content))
        return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
    if how == 1:
        return content[:start]
    if how == 2:
        return content[:start] + content[min(end, start + 64) :]
    if how == 3:  # a piece comes again elsewhere
        place = rng.randrange(len(content) + 1)
        return content[:place] + content[start : start + 200] + content[place:]
    if how == 4:
        run = rng.choice((b"\0", b"\xff", b"9", b"[", b'"', b"\n", b",", b"\x80", b"("))
        return content[:start] + run * rng.choice((1, 2, 40, LONGEST_RUN)) + content[start:]
    if how == 5:
        border = rng.choice(BORDERS)[: rng.choice((1, 2, 4, 8))]
        return content[:start] + border + content[start + len(border) :]
    if how == 6:
        return content[:start] + rng.randbytes(rng.randrange(1, 9)) + content[start:]
    return content[:start] + rng.randbytes(end - start) + content[end:] if end - start < 300 else content[start:end]


def _json(content: bytes, rng: random.Random) -> bytes:
    value = _changed(json.loads(content), rng)
    return json.dumps(value).replace(json.dumps(DIGITS), "9" * 5000).encode()


def _changed(value: Any, rng: random.Random) -> Any:
    """Change one place in a JSON value; text that is JSON itself is changed inside."""
    places = list(_places(value))
    if not places or rng.random() < 0.01:
        return rng.choice(ODD)
    # A list of numbers has more places than all else together.
    few = [one for one in places if isinstance(one[0], dict) or rng.random() < 0.1] or places
    parent, key = rng.choice(few)
    found, how = parent[key], rng.randrange(8)
    if isinstance(found, str) and found.startswith(("{", "[")) and how > 0:
        parent[key] = json.dumps(_changed(json.loads(found), rng)).replace(json.dumps(DIGITS), "9" * 5000)
    elif how == 0:
        del parent[key]
    elif how == 1:
        _again(parent, key, found, rng)
    elif how == 2:
        for _ in range(rng.choice((1, 2, 70, 400))):
            found = [found] if rng.random() < 0.5 else {"a": found}
        parent[key] = found
    elif how == 3:
        other, there = rng.choice(places)
        parent[key], other[there] = other[there], found
    elif how == 4 and isinstance(found, int | float):
        parent[key] = rng.choice((-found, found + 1, found - 1, found * 1000, float(found), str(found), [found]))
    else:
        parent[key] = rng.choice(ODD)
    return json.loads(json.dumps(value))  # no part is another's, or in itself


def _again(parent: Any, key: Any, found: Any, rng: random.Random) -> None:
    if isinstance(parent, list):
        parent[key:key] = [found] * rng.choice((1, 2, 50))
    else:
        parent[rng.choice(("", "a", f"{key}_", "items", "\ud800", *parent))] = found


def _places(value: Any) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield value, key
        yield from _places(one)


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    lines[place] = _json(lines[place], rng)
    return b"\n".join(lines)


def _table(content: bytes, rng: random.Random) -> bytes:
    """Change one cell, or what stands between the cells."""
    separator = b"\t" if b"\t" in content else b","
    rows = [line.split(separator) for line in content.splitlines()]
    row = rng.choice(rows)
    odd = ("1e5", "0x1", "1_0", "٣", '"', '""', '"a\n', "9" * 400, "-0", "2020-01-01", "2020-01-01T00:00:00Z", "25:61")
    text = rng.choice((*odd, *(str(one) for one in ODD)))
    row[rng.randrange(len(row))] = text.encode("utf-8", "surrogatepass") if rng.random() < 0.9 else b"\xff\xfe"
    if rng.random() < 0.3:
        rng.shuffle(rng.choice(rows))
    return rng.choice((b"\n", b"\n", b"\r\n", b"\r", b"\n\n")).join(separator.join(row) for row in rows)


def _zip(content: bytes, rng: random.Random) -> bytes:
    """Change a member and write the archive anew, so that its sums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    telling = [place for place, (name, _) in enumerate(members) if name.endswith(("data.pkl", ".py", ".json"))]
    place = rng.choice(telling) if telling and rng.random() < 0.5 else rng.randrange(len(members))
    name, data = members[place]
    how = rng.randrange(12)
    if how == 0:
        del members[place]
    elif how == 1:
        members[place] = (rng.choice(members)[0], data)
    elif how == 2:
        odd = ("../x", "/tmp/x", "a\\b", "\x01", "é", name + "/", "version", "data.pkl", "code/__torch__/x.py")
        members[place] = (name.rsplit("/", 1)[0] + "/" + rng.choice(odd), data)
    else:
        members[place] = (name, mutated(name, data, rng))
    return zipped(members, zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED)


def _pickle(content: bytes, rng: random.Random) -> bytes:
    """Change a number, repeat or leave out a step, or put one in that asks for much."""
    steps = [(step.name, place) for step, _, place in pickletools.genops(content)]
    bounds = [place for _, place in steps] + [len(content)]
    numbers = [place for place, (name, _) in enumerate(steps) if name.startswith("BININT")]
    how = rng.randrange(6)
    place = rng.choice(numbers) if how < 3 and numbers else rng.randrange(len(steps))
    step = content[bounds[place] : bounds[place + 1]]
    if how < 3:
        step = b"J" + struct.pack("<i", rng.choice((-1, 0, 1, 2, 255, 2**16, 2**20, 2**28, 2**31 - 1)))
    elif how == 3:
        step *= rng.choice((0, 2, 3))
    else:
        step += rng.choice(STEPS)
    return content[: bounds[place]] + step + content[bounds[place + 1] :]


def _code(content: bytes, rng: random.Random) -> bytes:
    """Nest an expression, or repeat a line."""
    if rng.random() < 0.3:
        lines = content.splitlines(keepends=True)
        place = rng.randrange(len(lines))
        return b"".join([*lines[:place], lines[place] * rng.choice((0, 2, DEEP)), *lines[place + 1 :]])
    start = rng.choice([place for place, one in enumerate(content) if one in b"(= "]) + 1
    before, after = rng.choice(AROUND)
    times = rng.choice((1, 2, DEEP))
    return content[:start] + before * times + b"x" + after * times + content[start:]


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return stream.getvalue()


def _safetensors(content: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.15:
        return content[: 8 + length] + _bytes(data, rng)
    header = _json(header, rng)
    return len(header).to_bytes(8, "little") + header + data


def _gzip(content: bytes, rng: random.Random) -> bytes:
    return gzip.compress(_table(gzip.decompress(content), rng), compresslevel=1)


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".csv": _table,
    ".tsv": _table,
    ".gz": _gzip,
    ".pt": _zip,
    ".pt2": _zip,
    ".pkl": _pickle,
    ".py": _code,
    ".safetensors": _safetensors,
}
