"""The tables of `bad_input.md`: read, and rewritten from what really came back.

    python -m tests.reliability.doors.bad_input    # asks every row and writes the file; `git diff` shows what changed

A row stands below a head that begins with `given`. Its first cell is run as it stands, in a folder where the names of
the page's first table are files and folders (`tests/reliability/doors/place.py`). The second cell says how that ended,
the third what was said: `...` in it stands for any text, and `as` before something to run for the answer which that
gives. A row below `given before NAME VERSION` stands in place of that of the same first cell where the library is
older.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("bad_input.md")
NOT_ONE_LINE = "not one line of error"  # how an answer begins that is none
LONGEST = 200  # of a message that is written into the page; the rest is `...`
ESCAPE = re.compile(r"\\(?:n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4})")
CHANGING = re.compile(r"\b(?:[0-9a-f]{64}|0x[0-9a-f]{6,})\b")  # hashes and addresses
SPAN = re.compile(r"(as |)(`+) ?(.*?) ?\2")
CELL_END = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Row:
    """A row of the page. `door` and `section` are the headings that it stands below, `line` counts from 0."""

    line: int
    door: str
    section: str
    given: str
    ends: str
    came_back: str
    same_as: str


@dataclass(frozen=True)
class Answer:
    """How it ended, one line of what was said, and what was answered, if anything was."""

    ends: str
    said: str
    value: Any = None


Ask = Callable[[str], Answer]


@dataclass(frozen=True)
class Page:
    lines: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        found: list[Row] = []
        for line, headings, head, cells in self._tables():
            given, _, older = head.partition(" before ")
            if given != "given" or (older and not _is_older(*older.split())):
                continue
            how, told = _span(cells[2])
            came_back, same_as = ("", told) if how else (told, "")
            row = Row(line, *headings, _span(cells[0])[1], cells[1], came_back, same_as)
            if older:
                found = [one for one in found if (one.door, one.given) != (row.door, row.given)]
            found.append(row)
        return found

    @property
    def names(self) -> dict[str, str | None]:
        """The files and folders that rows may name, each with its content where the page holds that itself."""
        told = [cells for _, _, head, cells in self._tables() if head == "name"]
        return {_span(name)[1]: unescaped(_span(what)[1]) if what[0] == "`" else None for name, what in told}

    def code(self, door: str) -> str:
        """The Python that a door begins with, and that its rows are run after."""
        text = "\n".join(self.lines)
        return re.findall(rf"## {door}\n.*?```python\n(.*?)```", text, flags=re.DOTALL)[0]

    def _tables(self) -> Iterator[tuple[int, tuple[str, str], str, list[str]]]:
        """Walk the rows of all tables: line, headings above, the first cell of the table's head, and the cells."""
        door, section, head = "", "", ""
        for place, line in enumerate(self.lines):
            if line.startswith("## "):
                door = section = line[3:]
            elif line.startswith("### "):
                section = line[4:]
            if not line.startswith("|"):
                head = ""
            else:
                cells = [one.strip().replace(r"\|", "|") for one in CELL_END.split(line)[1:-1]]
                if head and not set(cells[0]) <= set("-: "):
                    yield place, (door, section), head, cells
                head = head or cells[0]


def _is_older(name: str, bound: str) -> bool:
    """Whether the library at hand is older than `bound`, of two numbers."""
    installed, asked = (tuple(map(int, one.split(".")[:2])) for one in (version(name), bound))
    return installed < asked


def read_page() -> Page:
    return Page(tuple(PAGE.read_text(encoding="utf-8").splitlines()))


def agrees(row: Row, answer: Answer) -> bool:
    """Whether a row says what came back; `...` in it is any text on the one line of an error."""
    if answer.said.startswith(NOT_ONE_LINE):
        return False
    pattern = ".*".join(map(re.escape, row.came_back.split("...")))
    return answer.ends == row.ends and (bool(row.same_as) or re.fullmatch(pattern, answer.said) is not None)


def escaped(text: str) -> str:
    """Write what cannot be seen as `\\n`, `\\x00` or `\\u202e`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def unescaped(text: str) -> str:
    return ESCAPE.sub(lambda found: found[0].encode().decode("unicode_escape"), text)


def _span(cell: str) -> tuple[str, str]:
    """Take a cell apart: whether it begins with `as`, and the code in it."""
    found = SPAN.fullmatch(cell)
    return (found[1], found[3]) if found else ("", cell)


def rewritten(page: Page, answers: dict[int, list[Answer]]) -> str:
    """The page with what came back, where that is not what it says."""
    lines = list(page.lines)
    for row in page.rows:
        found = answers.get(row.line, [])
        if all(agrees(row, one) for one in found):
            continue
        given = CELL_END.split(lines[row.line])[1]
        ends = " or ".join(sorted({one.ends for one in found}))
        kept = bool(row.same_as) and ends in ("0", "answers")
        told = f"as {_cell(row.same_as)}" if kept else _cell(_shared(found))
        lines[row.line] = f"|{given}| {ends} | {told} |"
    return "\n".join(lines) + "\n"


def _cell(said: str) -> str:
    shown = CHANGING.sub("...", said)
    if len(shown) > LONGEST:
        shown = shown[: shown.rindex(" ", 0, LONGEST)] + " ..."
    shown = f"`` {shown} ``" if "`" in shown else f"`{shown}`"
    return shown.replace("|", r"\|") if said else ""


def _shared(answers: list[Answer]) -> str:
    """What all of them said, with `...` where they part."""
    said = [one.said for one in answers]
    if len(set(said)) == 1:
        return said[0]
    start = _beginning(said)
    return f"{start}...{_beginning([one[len(start) :][::-1] for one in said])[::-1]}"


def _beginning(texts: list[str]) -> str:
    length = 0
    while length < min(map(len, texts)) and len({one[length] for one in texts}) == 1:
        length += 1
    return texts[0][:length]


class Recorder:
    """A plugin of pytest that keeps what came back from every row that was asked."""

    def __init__(self) -> None:
        self.answers: dict[int, list[Answer]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            for line, told in report.user_properties:
                self.answers[int(line)].append(Answer(*told))


def main() -> None:
    import pytest

    recorder, page = Recorder(), read_page()
    tests = ("tests/reliability/doors/test_bad_input.py", "tests/clients/test_bad_input.py")
    pytest.main(["-q", "--no-header", "--tb=no", "-rs", *(sys.argv[1:] or tests)], plugins=[recorder])
    PAGE.write_text(rewritten(page, recorder.answers), encoding="utf-8")


if __name__ == "__main__":
    main()
