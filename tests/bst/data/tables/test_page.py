"""Every row of docs/reference/tables.md is asked: what is accepted gives the same events, and the rest a remedy."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bst import DataConfig, InputError, read_interactions
from bst.options import TABLE_OPTIONS, TRAINING_OPTIONS
from tests.bst.data.tables.files import ACCEPTED, EVENTS, REFUSED

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "tables.md"
CELL_END = re.compile(r"(?<!\\)\|")
SETTINGS = {option.setting: option for option in (*TABLE_OPTIONS, *TRAINING_OPTIONS)}


def rows_of(section: str) -> dict[str, tuple[str, str]]:
    """The rows of a section: first cell, options and what is said."""
    body = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in CELL_END.split(line)[1:-1]] for line in body.splitlines() if line[:1] == "|"]
    return {first: (_plain(options), _plain(said)) for first, options, said in cells[2:]}


def _plain(cell: str) -> str:
    return cell.strip("`").strip().replace(r"\|", "|")


def settings_of(options: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    words = iter(shlex.split(options))
    for word in words:
        option = SETTINGS[word.removeprefix("--").replace("-", "_")]
        value = True if option.kind is bool else next(words)
        values[option.setting] = option.read([value] if option.kind == list[str] else option.kind(value))
    return values


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_the_page_accepts_gives_the_same_events(what: str, here: Path) -> None:
    options, said = rows_of("Accepted")[what]
    interactions = read_interactions(ACCEPTED[what](here), DataConfig(**settings_of(options)))
    users, items, _ = zip(*EVENTS, strict=True)
    assert [str(user).removeprefix("x") for user in interactions.events["user"]] == [str(user) for user in users]
    assert interactions.events["item"].to_list() == list(items)
    assert "; ".join(interactions.facts.remarks) == said


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_page_refuses_is_one_line_with_the_remedy(what: str, here: Path) -> None:
    options, said = rows_of("Refused")[what]
    path, data = REFUSED[what](here), DataConfig(**settings_of(options))
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        read_interactions(path, data)
    assert str(raised.value) == said


def test_every_row_of_the_page_has_a_file() -> None:
    assert set(rows_of("Accepted")) == set(ACCEPTED)
    assert set(rows_of("Refused")) == set(REFUSED)
