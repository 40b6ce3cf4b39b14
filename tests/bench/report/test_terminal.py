"""Tables in a terminal: a number is whole or its column is absent, whatever the width."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bench import BenchRecord
from bench.commands import _tell
from bench.report.columns import LATENCY
from bench.report.tables import sheets
from bench.report.terminal import print_sheet
from bst.system.console import width_of_stdout, wrapped
from tests.bench.report.crowded import crowded
from tests.bench.report.test_compare import slowed, write
from tests.conftest import Command

WIDTHS = (40, 60, 80, 100, 120, 200)
Told = Callable[[int | None], list[str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record: BenchRecord) -> Told:
    """Give the lines of the table of latency of a crowded record at a width, or where nothing says how wide it is."""
    (sheet,) = sheets(crowded(record))

    def print_at(width: int | None) -> list[str]:
        monkeypatch.setenv("COLUMNS", "" if width is None else str(width))
        print_sheet(sheet, "they are in --json")
        return capsys.readouterr().out.splitlines()

    return print_at


def cells(line: str) -> list[str]:
    return re.split(" {2,}", line.strip())


def words(text: str) -> set[str]:
    return {word.rstrip(",;:") for word in text.split()}


def in_order(few: list[str], many: list[str]) -> bool:
    left: Iterator[str] = iter(many)
    return all(one in left for one in few)


@pytest.mark.bundle
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_each_cell_is_whole_or_its_column_is_absent(told: Told, width: int) -> None:
    wide, narrow = told(None), told(width)
    assert max(map(len, narrow)) <= width
    assert all(in_order(cells(few), cells(many)) for few, many in zip(narrow[1:12], wide[1:], strict=True))
    assert "…" not in "".join(narrow)


@pytest.mark.bundle
def test_what_matters_most_stays_longest(told: Told) -> None:
    heads = {width: cells(told(width)[1]) for width in WIDTHS}
    assert heads[60] == ["batch", "backend", "p50 us", "parity"]
    assert heads[80][:2] == ["batch", "backend"]
    assert {"p50 us", "to eager", "parity"} <= set(heads[80])
    assert heads[200] == [column.head for column in LATENCY if column.head]
    assert all(set(heads[few]) <= set(heads[many]) for few, many in pairwise(WIDTHS))


@pytest.mark.bundle
def test_columns_that_are_left_out_are_named_with_the_place_where_they_are(told: Told) -> None:
    text = " ".join(" ".join(told(80)).split())
    assert "left out at 80 columns: +-, p99, to best, of roofline; they are in --json" in text
    assert "left out" not in "".join(told(200))
    assert "left out" not in "".join(told(None))


@pytest.mark.bundle
def test_a_name_is_folded_before_a_number_is_broken(told: Told) -> None:
    narrow = told(32)
    assert max(map(len, narrow)) <= 32
    assert sum("1,234,567" in line for line in narrow) == 5
    assert any("optimized" in line and "torchscript-" not in line for line in narrow)


@pytest.mark.bundle
@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_of_a_measurement_fits_and_breaks_at_blanks(
    width: int, record: BenchRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hard = crowded(record)
    monkeypatch.setenv("COLUMNS", "")
    _tell(hard)
    whole = words(capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", str(width))
    _tell(hard)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert words(printed) <= whole | words(
        f"left out at {width} columns they are in --json and on the page of --html +-"
    )


@pytest.mark.bundle
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_comparison_fits_and_its_ratio_and_verdict_stay(
    width: int, record: BenchRecord, bst_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = crowded(record)
    paths = write(hard, tmp_path / "a.json"), write(slowed(hard, 4.0, "torchscript-optimized"), tmp_path / "b.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = bst_command("compare", *(path.name for path in paths))
    lines = out.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("backend")
    rows = [cells(line) for line in lines if line.startswith("torchscript-optimized")]
    assert len(rows) == 2
    for row in rows:
        assert any(re.fullmatch(r"0\.25 \(0\.\d\d-0\.\d\d\)", cell) for cell in row)
        assert "slower" in row
    assert ("left out" in out) == (width < 120)


def test_nothing_says_how_wide_a_pipe_is_but_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    line = "batch 1: onnxruntime at 284 us, " * 20
    assert width_of_stdout() is None
    assert wrapped(line) == line
    monkeypatch.setenv("COLUMNS", "33")
    assert width_of_stdout() == 33
    assert wrapped("p50 us of 1,234,567 us and of 1,234,568 us").splitlines() == [
        "p50 us of 1,234,567 us and of",
        "  1,234,568 us",
    ]
