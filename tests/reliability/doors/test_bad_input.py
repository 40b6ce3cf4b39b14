"""Every row of `bad_input.md` is asked, and what comes back is what the file says."""

from __future__ import annotations

import shutil
import warnings
from typing import Any

import pytest

from tests.export.test_page import INSTALLED
from tests.reliability.doors.asking import ask_command, ask_process, ask_python, same, state_of, told
from tests.reliability.doors.bad_input import Answer, Ask, Row, agrees, read_page
from tests.reliability.doors.place import Place

PAGE = read_page()
IN_PYTHON = ("Python", "Files straight in their runtimes")
LEAST = {"Commands": 150, "Python": 60, "Files straight in their runtimes": 60, "Clients": 25}  # rows
IN_A_PROCESS = (pytest.param("bst train", marks=pytest.mark.slow), "bst recommend")


def rows_of(*doors: str) -> list[Any]:
    return [pytest.param(row, id=f"{row.section}: {row.given[:70]}") for row in PAGE.rows if row.door in doors]


def walk(row: Row, ask: Ask, place: Place, record_property: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a row where its names are, and hold it to the page; nothing may be left behind, or changed."""
    place.provide(f"{row.given} {row.same_as}")
    monkeypatch.chdir(place.folder)
    before = state_of(place.folder, row.given)
    answer = ask(row.given)
    record_property(str(row.line), (answer.ends, answer.said))
    differing = dict(before.items() ^ state_of(place.folder, row.given).items())
    shutil.rmtree(place.folder / "NEW", ignore_errors=True)
    assert agrees(row, answer), f"{answer.ends}: {answer.said}"
    assert differing == {}
    if row.same_as:
        assert same(answer.value, ask(row.same_as).value)


@pytest.fixture(scope="module")
def python(place: Place) -> dict[str, Ask]:
    """For each door in Python, how its rows are asked: after the code that it begins with, which is run once."""
    asks = {}
    for door in IN_PYTHON:
        names: dict[str, Any] = {}
        place.provide(PAGE.code(door))
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            patch.chdir(place.folder)
            exec(PAGE.code(door), names)
        asks[door] = ask_python(names)
    return asks


@pytest.mark.parametrize("row", rows_of("Commands"))
def test_a_command_says_what_the_page_says(
    row: Row, place: Place, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "is not a finished demo" in row.came_back and not INSTALLED:
        pytest.skip("the demo is looked at where it can be served, and no node or onnxruntime-web is here")
    walk(row, ask_command, place, record_property, monkeypatch)


@pytest.mark.parametrize("row", rows_of(*IN_PYTHON))
def test_python_gives_what_the_page_says(
    row: Row, place: Place, python: dict[str, Ask], record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(row, python[row.door], place, record_property, monkeypatch)


@pytest.mark.parametrize("command", IN_A_PROCESS)
def test_the_first_row_of_a_command_holds_in_a_process_of_its_own(
    command: str, place: Place, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in PAGE.rows if row.section == command)
    walk(row, ask_process, place, record_property, monkeypatch)


def test_every_door_has_rows_and_each_says_something_once() -> None:
    rows = PAGE.rows
    assert {row.door for row in rows} == set(LEAST)
    for door, least in LEAST.items():
        assert sum(row.door == door for row in rows) >= least
    assert len({(row.door, row.given) for row in rows}) == len(rows)
    assert [row.given for row in rows if not (row.came_back or row.same_as)] == []
    assert {row.ends for row in rows if row.door in ("Commands", "Clients")} <= {"0", "1", "2"}


def test_every_name_of_the_page_is_used() -> None:
    asked = [PAGE.code(door) for door in IN_PYTHON] + [f"{row.given} {row.same_as}" for row in PAGE.rows]
    assert [name for name in PAGE.names if name not in " ".join(asked)] == []


def test_what_is_not_one_line_of_error_agrees_with_no_row() -> None:
    row = Row(0, "Commands", "bst", "bst fly", "2", "...", "")
    assert agrees(row, Answer("2", "No such command"))
    assert not agrees(row, Answer("2", told("2", "Traceback\nerror: no")))
