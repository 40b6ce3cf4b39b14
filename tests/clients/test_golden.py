"""A golden file that cannot be read or is damaged is a check that failed, in every client as in `bst verify`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.altered import alter
from tests.clients.conftest import EVERY, Client
from tests.conftest import Command

Change = Callable[[dict[str, Any]], object]
PATH = "golden/top_k.json"


def written(change: Change) -> Callable[[bytes], bytes]:
    """Change the case `full` of a golden file."""

    def changed(content: bytes) -> bytes:
        golden = json.loads(content)
        change(next(one for one in golden["cases"] if one["name"] == "full"))
        return json.dumps(golden).encode()

    return changed


def gives(name: str, value: object) -> Callable[[bytes], bytes]:
    return written(lambda case: case["outputs"].update({name: value}))


NOT_JSON = {
    "text": lambda _: b"golden",
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "deep": lambda _: b"[" * 300_000,
    "latin": lambda _: '{"é": 1}'.encode("latin-1"),
    "nan": gives("scores", [[float("nan")] * 3]),
}
NOT_GOLDEN = {
    "list": lambda _: b"[]",
    "null": lambda _: b"null",
    "no_cases": lambda _: b"{}",
    "cases_no_list": lambda _: b'{"cases": 5}',
    "case_no_object": lambda _: b'{"cases": [5]}',
    "no_name": written(lambda case: case.pop("name")),
    "no_inputs": written(lambda case: case.pop("inputs")),
    "no_history": written(lambda case: case["inputs"].pop("history")),
    "no_scores": written(lambda case: case["outputs"].pop("scores")),
    "outputs_no_object": written(lambda case: case.update(outputs=5)),
    "history_text": written(lambda case: case["inputs"].update(history=[["eleven"]])),
    "history_null": written(lambda case: case["inputs"].update(history=[[None]])),
    "history_huge": written(lambda case: case["inputs"].update(history=[[2**70]])),
    "history_ragged": written(lambda case: case["inputs"].update(history=[[11], [11, 18]])),
    "scores_text": gives("scores", [["a"] * 3]),
    "runner_up_text": gives("runner_up", ["a"]),
    "runner_up_long": gives("runner_up", [0.5, 0.5]),
    "runner_up_alone": gives("runner_up", 0.5),
    "largest_none": gives("largest_score", []),
    "name_number": written(lambda case: case.update(name=5)),
    "gender_number": written(lambda case: case["inputs"].update(gender=[5])),
}
NOT_THESE = {
    "no_case": (lambda _: b'{"cases": []}', "there is no golden case of top_k to replay; export again"),
    "ids_short": (gives("item_ids", [[11]]), "item_ids is [1, 3], not [1, 1] (1 of 28 calls fail)"),
}
WORDS = dict.fromkeys(NOT_JSON, "") | dict.fromkeys(NOT_GOLDEN, f"{PATH} is not a file of golden vectors (")
CHANGES = NOT_JSON | NOT_GOLDEN | {name: change for name, (change, _) in NOT_THESE.items()}
WORDS |= {name: words for name, (_, words) in NOT_THESE.items()}


@pytest.fixture
def bundle(client: Client, variants: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle of one signature in one format, which verifies in a moment."""
    small = variants["onnx_top_k" if "onnx" in client.formats else "script_top_k"]
    return Path(shutil.copytree(small, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def asked() -> dict[tuple[str, ...], tuple[int, Any]]:
    """What `bst verify` said, by formats and kind: it is the same beside every client."""
    return {}


QUICK = {"text", "nan", "no_cases", "no_scores", "history_huge", "runner_up_long", "gender_number", *NOT_THESE}


@EVERY
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in CHANGES]
)
def test_a_damaged_golden_file_fails_as_in_bst_verify(
    client: Client, kind: str, bundle: Path, bst_command: Command, asked: dict[tuple[str, ...], tuple[int, Any]]
) -> None:
    alter(bundle, PATH, CHANGES[kind], sealed=True)
    code, found, stderr = client("verify", bundle)
    assert (code, found["ok"]) == (1, False)
    assert stderr == f"error: {found['failure']}\n"
    assert "top_k" in stderr
    assert WORDS[kind] in stderr
    if (*client.formats, kind) not in asked:
        code, printed, _ = bst_command("verify", bundle, "--json")
        asked[*client.formats, kind] = code, json.loads(printed)
    code, told = asked[*client.formats, kind]
    assert (code, told["ok"]) == (1, False)
    assert WORDS[kind] in told["failure"]


@EVERY
def test_a_golden_file_that_is_no_file_fails_as_in_bst_verify(
    client: Client, bundle: Path, bst_command: Command
) -> None:
    (bundle / PATH).unlink()
    (bundle / PATH).mkdir()
    code, found, stderr = client("verify", bundle)
    assert (code, stderr) == (1, f"error: {bundle}: {PATH} is not a file; export again or restore the files\n")
    assert found == json.loads(bst_command("verify", bundle, "--json")[1]) | {"warnings": []}
