"""The commands of the guides to imports lead from a folder to an answer from Node, which is that of the model."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bst import Run, load_run
from tests.bst.imports.asking import logits
from tests.bst.imports.fuxi_folder import Case, write_folder
from tests.bst.imports.test_guides import shown
from tests.bst.imports.test_torch_rechub import make
from tests.clients.conftest import Client
from tests.conftest import Command, OnDemand

pytestmark = [pytest.mark.bundle, pytest.mark.parametrize("client", ["node"], indirect=True)]
FUXICTR = Case({"fields": ["item", "cate"], "context": ["city"], "numbers": ["price"]})
FOLDERS: dict[str, Callable[[Path], object]] = {
    "torch-rechub.md": lambda folder: make("numbers between features", folder),
    "fuxictr.md": lambda folder: write_folder(folder, FUXICTR),
}


def asked(words: list[str], run: Run) -> dict[str, Any]:
    """Read the options of the client's command as a request in raw ids."""
    kind = int if run.vocabularies.items.dtype == "int64" else str
    options = defaultdict(str, zip(words[4::2], words[5::2], strict=True))

    def ids(text: str) -> list[Any]:
        return [kind(value) for value in text.split(",")]

    def named(option: str) -> dict[str, str]:
        return dict([options[option].split("=")]) if options[option] else {}

    beside = dict(pair.split("=") for pair in options["--context"].split(",") if pair)
    items, candidates = ids(options["--history"]), ids(options["--candidates"])
    kinds = {name: text.split(",") for name, text in named("--candidate-feature").items()}
    events = {name: text.split(",") for name, text in named("--event").items()}
    sequences: dict[str, list[Any]] = {own.name: [] for own in run.config.model.sequences}
    return {
        "history": {"": items, **{name: events.get(name, [""] * len(items)) for name in run.vocabularies.events}},
        "context": defaultdict(lambda: None, beside),
        "dense": {number.name: float(beside.get(number.name, math.nan)) for number in run.config.model.numbers},
        "candidates": candidates,
        "candidate_fields": {
            name: kinds.get(name, [""] * len(candidates)) for name in run.vocabularies.candidate_features
        },
        "sequences": {**sequences, **{name: ids(text) for name, text in named("--sequence").items()}},
    }


def require_the_answer(client: Client, command: str, run: Run) -> None:
    words = shlex.split(command)
    assert words[:4] == ["node", "clients/js/node/client.mjs", "score", "BUNDLE"]
    assert (Path(__file__).parents[2] / words[1]).is_file()
    code, answer, error = client(*words[2:])
    assert (code, error) == (0, ""), command
    expected = logits(run, asked(words, run)).numpy()
    assert len(set(expected)) == len(answer["scores"])
    assert np.abs(np.array(answer["scores"]) - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("guide", FOLDERS)
def test_four_commands_lead_from_a_folder_to_the_answer_of_the_model(
    guide: str, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bst_command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDERS[guide](Path("DIR"))
    importing, exporting, verifying, asking = shown(guide, "sh")[0].splitlines()
    for command in (importing, f"{exporting} --formats onnx", verifying):
        code, _, error = bst_command(*command.split()[1:])
        assert (code, error) == (0, ""), command
    require_the_answer(client, asking, load_run("RUN"))


@pytest.mark.parametrize(("variant", "option"), [("imported", "--event"), ("pairs", "--sequence")])
def test_what_stands_beside_the_history_is_given_as_the_guide_says(
    variant: str,
    option: str,
    client: Client,
    variants: OnDemand,
    run_of: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (command,) = [line for block in shown("fuxictr.md", "sh") for line in block.splitlines() if f" {option} " in line]
    monkeypatch.chdir(tmp_path)
    Path("BUNDLE").symlink_to(variants[variant])
    require_the_answer(client, command, load_run(run_of(variant)))


@pytest.mark.slow
def test_events_of_torch_rechub_are_given_as_the_guide_says(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bst_command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    make("prelu, an event feature", Path("DIR"))
    first, *others = shown("torch-rechub.md", "sh")
    importing, exporting, *_ = first.splitlines()
    for command in (importing, f"{exporting} --formats onnx"):
        assert bst_command(*command.split()[1:])[0] == 0, command
    (asking,) = [block.strip() for block in others if " --event " in block]
    require_the_answer(client, asking, load_run("RUN"))
