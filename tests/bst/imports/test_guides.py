"""The guides to imports hold: what they show is what the importers take, and their commands lead to answers."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from bst import load_run
from bst.imports import describe
from bst.imports.torch_rechub.description import Description
from bst.system.validation import validated
from export import open_bundle
from tests.bst.imports.asking import logits
from tests.bst.imports.fuxi_folder import Case, write_folder
from tests.conftest import Command

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
REQUEST = {
    "history": {"item_history": ["sku-3", "sku-9", "sku-9"], "kind_history": ["view", "odd", "buy"]},
    "context": {},
    "dense": {},
    "candidates": ["sku-1", "sku-4"],
    "candidate_fields": {"kind": ["buy", "view"]},
}


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


@pytest.mark.bundle
def test_the_commands_of_the_guide_lead_from_a_folder_to_a_bundle_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bst_command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("DIR"), Case({"fields": ["item", "cate", "kind"]}))
    importing, exporting, verifying, _ = shown("fuxictr.md", "sh")[0].splitlines()
    for command in (importing, f"{exporting} --formats onnx", verifying):
        code, _, error = bst_command(*command.split()[1:])
        assert (code, error) == (0, ""), command
    answer = (
        open_bundle("BUNDLE")
        .scorer()
        .score(
            [REQUEST["history"]["item_history"]],
            [REQUEST["candidates"]],
            events={"kind_history": [REQUEST["history"]["kind_history"]]},
            candidate_features={"kind": [REQUEST["candidate_fields"]["kind"]]},
        )
    )
    expected = logits(load_run("RUN"), REQUEST)
    assert np.abs(answer.scores[0] - expected.numpy()).max() < 1e-5
