"""The guides to imports hold: what they show is what the importers take. Commands: `tests/clients/test_guides.py`."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

from bst.imports import describe
from bst.imports.torch_rechub.description import Description
from bst.system.validation import validated

GUIDES = Path(__file__).parents[3] / "docs" / "guides"


def shown(guide: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (GUIDES / guide).read_text(), flags=re.DOTALL)


def test_the_description_that_the_guide_shows_is_one() -> None:
    (text,) = shown("torch-rechub.md", "json")
    assert validated(Description, json.loads(text), "the guide").length == 50


def test_the_arguments_that_the_guide_shows_are_those_of_describe() -> None:
    (program,) = shown("torch-rechub.md", "python")
    parameters = inspect.signature(describe).parameters
    assert set(re.findall(r"^    (\w+)=", program, flags=re.MULTILINE)) < set(parameters)
    table = re.findall(r"^\| `(\w+)` \|", (GUIDES / "torch-rechub.md").read_text(), flags=re.MULTILINE)
    assert sorted(table) == sorted(set(parameters) - {"model", "folder"})
