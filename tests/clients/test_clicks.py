"""Every client serves a click model: probabilities beside scores, and one line where it is asked for a ranking."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import export_bundle, open_bundle
from export.contract.signatures import signatures_of_task
from tests.builds import Builds
from tests.clients.altered import alter
from tests.clients.conftest import EVERY, Client
from tests.conftest import Command, OnDemand, exporting, refused
from tests.export.sessions.test_candidate_scorer import REFUSAL

Change = Callable[[bytes], bytes]


def probability(change: Callable[[float], float | None]) -> Change:
    """Change a probability of a golden case."""

    def changed(content: bytes) -> bytes:
        golden = json.loads(content)
        row = golden["cases"][3]["outputs"]["probabilities"][0]
        row[0] = change(row[0])
        return json.dumps(golden).encode()

    return changed


@EVERY
def test_a_click_model_verifies_and_gives_the_probabilities_of_python(client: Client, variants: OnDemand) -> None:
    bundle = variants["clicks"]
    code, found, stderr = client("verify", bundle)
    assert (code, stderr, found["failure"]) == (0, "", None)
    assert [(one["signature"], one["max_error"] < 1e-5) for one in found["verdicts"]] == [
        (name, True) for name in signatures_of_task("click")
    ]
    options = ("--context", "gender=F,age=31.5", "--event", "kind=buy,view")
    code, found, stderr = client("score", bundle, "--history", "11,18", *options, "--candidates", "25,46,999999")
    assert (code, stderr) == (0, "")
    asked: dict[str, Any] = {"context": {"gender": ["F"], "age": [31.5]}, "events": {"kind": [["buy", "view"]]}}
    wanted = open_bundle(bundle).scorer().score([[11, 18]], [[25, 46, 999_999]], **asked).to_dict()
    assert list(found) == ["candidates", "scores", "probabilities"]
    assert found["candidates"] == [25, 46, 999_999]
    for name in ("scores", "probabilities"):
        assert found[name][:2] == pytest.approx(wanted[name][0][:2], abs=1e-5)
    assert (found["scores"][2], found["probabilities"][2]) == (None, 0)


@EVERY
@pytest.mark.bundle
def test_a_click_model_of_histories_alone_verifies(client: Client, make_run: Any, builds: Builds) -> None:
    """Also in runtimes that take a sum over no columns for nothing."""
    run = make_run("clicks_alone", task="click", pooling="target", context=())

    def export(folder: Path) -> None:
        folder.mkdir()
        export_bundle(run, folder / "bundle", exporting(formats=("onnx", "torchscript")))

    code, found, stderr = client("verify", builds.get("bundle-clicks_alone", export) / "bundle")
    assert (code, stderr, found["failure"]) == (0, "", None)


@EVERY
@pytest.mark.parametrize(
    "change", [probability(lambda value: value + 0.001), probability(lambda value: None)], ids=["off", "nothing"]
)
def test_a_wrong_probability_fails_as_in_bst_verify(
    client: Client, change: Change, variants: OnDemand, tmp_path: Path, bst_command: Command
) -> None:
    bundle = Path(shutil.copytree(variants["clicks"], tmp_path / "bundle"))
    alter(bundle, "golden/score_candidates.json", change, sealed=True)
    code, found, stderr = client("verify", bundle)
    assert (code, stderr) == (1, f"error: {found['failure']}\n")
    assert "row 0 has a probability that is off by " in found["failure"]
    wanted = json.loads(bst_command("verify", bundle, "--json")[1])["failure"]
    assert found["failure"] == wanted.replace("onnx, score", f"{client.formats[0]}, score")


@EVERY
def test_a_ranking_is_refused_and_score_candidates_named(client: Client, variants: OnDemand) -> None:
    refused(client("recommend", variants["clicks"], "--history", "11"), REFUSAL)


@EVERY
def test_bench_times_the_scoring_of_candidates(client: Client, variants: OnDemand) -> None:
    code, found, stderr = client("bench", variants["clicks"], "--calls", 20)
    assert (code, stderr) == (0, "")
    assert {
        "signature": "score_candidates",
        "case": "full",
        "rows": 1,
        "length": 12,
        "candidates": 1,
    }.items() <= found.items()
    assert 0 < found["p50_us"] <= found["p99_us"]
    code, found, stderr = client("bench", variants["clicks"], "--case", "none")
    assert (code, found) == (2, None)
    assert "golden case" in stderr
    assert "of score_candidates; " in stderr
