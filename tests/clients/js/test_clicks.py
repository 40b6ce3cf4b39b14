"""A click model in JavaScript: the rule of parity for probabilities, several users in one call, and the page."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from bst import InputError
from export import open_bundle
from export.contract.parity import TOLERANCE, compare
from export.contract.signatures import Signature, TensorSpec
from export.page import require_page
from tests.browser import NEEDS_CHROMIUM
from tests.clients.conftest import JAVASCRIPT
from tests.clients.js.page import PAGE_RUNTIME, Watched, served
from tests.clients.js.program import javascript
from tests.clients.js.test_node import listed
from tests.conftest import OnDemand

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
OFF = (0, 9e-6, 1.1e-5, -0.3, np.nan, np.inf)


@needs_node
@pytest.mark.parametrize("row", [0, 2])
def test_the_rule_of_parity_for_probabilities_is_that_of_python(row: int) -> None:
    """Also where a score is off as well: then that is what is said."""
    outputs = tuple(
        TensorSpec(name=name, dtype="float32", shape=("batch", "n")) for name in ("probabilities", "scores")
    )
    signature = Signature(name="score_candidates", ids="raw", inputs=(), outputs=outputs)
    scores = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    scores[1, 3] = -np.inf
    expected = {"probabilities": 1 / (1 + np.exp(-scores)), "scores": scores}
    answers = []
    for off in OFF:
        for worse in (0, 1):
            answer = {name: values.copy() for name, values in expected.items()}
            answer["probabilities"][row, 1] += off
            answer["scores"][0, 0] += worse
            answers.append(answer)
    program = """
        import { compare } from "JS/core/index.mjs";
        const numbers = { inf: Infinity, "-inf": -Infinity, nan: NaN };
        const floats = (data) => Float32Array.from(data, (one) => numbers[one] ?? Number(one));
        const answer = (given) => Object.fromEntries(Object.entries(given).map(
          ([name, { dims, data }]) => [name, { dims, data: floats(data) }]));
        const [signature, expected, answers, tolerance] = JSON.parse(await new Response(process.stdin).text());
        console.log(JSON.stringify(answers.map(
          (one) => compare(signature, answer(expected), answer(one), tolerance).failure)));
    """
    given = [signature.model_dump(mode="json"), listed(expected), [listed(one) for one in answers], TOLERANCE]
    wanted = [compare(signature, expected, one).failure for one in answers]
    assert javascript(program, given) == wanted
    told = [failure or "" for failure in wanted[::2]]
    assert told[:2] == ["", ""]
    assert all(f"row {row} has a probability that is off by " in failure for failure in told[2:])
    assert all("of the largest scores" in (failure or "") for failure in wanted[1::2])


@needs_node
def test_several_users_are_scored_in_one_call(variants: OnDemand) -> None:
    if not (JAVASCRIPT / "node_modules" / "onnxruntime-node").exists():
        pytest.skip("no onnxruntime-node: npm was not there to install it")
    program = """
        import { openBundle } from "JS/node/index.mjs";
        const bundle = await openBundle(JSON.parse(await new Response(process.stdin).text()));
        const users = [{ history: [11, 18], candidates: [25, 46] }, { candidates: [46, 18] }];
        console.log(JSON.stringify(await bundle.scoreAll(users)));
    """
    found = javascript(program, str(variants["clicks"]))
    wanted = open_bundle(variants["clicks"]).scorer().score([[11, 18], []], [[25, 46], [46, 18]])
    assert [one["candidates"] for one in found] == [[25, 46], [46, 18]]
    np.testing.assert_allclose([one["scores"] for one in found], wanted.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([one["probabilities"] for one in found], wanted.probabilities, atol=1e-6)


def test_bst_serve_takes_a_click_model_that_has_no_top_k(variants: OnDemand) -> None:
    require_page(variants["clicks"])
    with pytest.raises(InputError, match=r"the page asks top_k, and .* holds score_candidates"):
        require_page(variants["score_candidates"])


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm")
def test_the_page_shows_the_probability_of_each_picked_candidate_the_largest_first(
    variants: OnDemand, browser: Any
) -> None:
    bundle = open_bundle(variants["clicks"])
    watched = Watched(browser.new_page())
    watched.page.on("console", lambda message: watched.told.append(message.text))
    watched.page.on("pageerror", lambda error: watched.told.append(str(error)))
    watched.page.clock.set_fixed_time(1_600_000_000_000)  # an item counts with the time at which it was picked
    with served(variants["clicks"]) as site:
        watched.load(site.url)
        assert not watched.page.locator("#recommended").is_visible()
        assert "Choose items to be scored" in watched.page.locator("#basis").inner_text()
        for text in ("25", "46", "18", "999999"):
            watched.pick(text, "#ask-input")
        watched.page.wait_for_selector("#scored li:nth-child(4)")
        before = watched.ranking("scored")
        watched.pick("11")
        watched.history(1)
        watched.page.wait_for_function("document.querySelector('#basis').textContent.startsWith('After 1 item')")
        ids, probabilities = watched.ranking("scored")
        shown = watched.page.locator("#scored .score").all_inner_texts()
        measured, verdict = watched.pressed("bench"), watched.pressed("verify")
    assert before[1] != probabilities
    assert ids[-1] == "999999"
    assert shown[-1] == "no score"
    times: dict[str, Any] = {"context": {"request_time": [1_600_000_000]}, "events": {"event_time": [[1_600_000_000]]}}
    wanted = bundle.scorer().score([[11]], [[int(one) for one in ids]], **times)
    assert wanted.probabilities is not None
    assert probabilities[:3] == sorted(probabilities[:3], reverse=True)
    assert probabilities[:3] == pytest.approx(wanted.probabilities[0, :3].tolist(), abs=1e-5)
    assert shown[0] == f"{float(f'{100 * probabilities[0]:.3g}'):g} %"
    assert (measured["signature"], verdict["ok"]) == ("score_candidates", True)
    assert watched.told == []


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm")
def test_a_feature_of_candidates_is_chosen_for_all_of_them(variants: OnDemand, browser: Any) -> None:
    watched = Watched(browser.new_page())
    with served(variants["imported"]) as site:
        watched.load(site.url)
        for text in ("sku-1", "sku-4"):
            watched.pick(text, "#ask-input")
        watched.page.wait_for_selector("#scored li:nth-child(2)")
        unknown = watched.ranking("scored")
        before = watched.page.locator("#scored .score").first.inner_text()
        watched.page.locator("#context select[name=kind]").select_option("buy")
        watched.page.wait_for_function(f"document.querySelector('#scored .score').textContent != {before!r}")
        ids, probabilities = watched.ranking("scored")
    scorer = open_bundle(variants["imported"]).scorer()
    expected = scorer.score([[]], [ids], candidate_features={"kind": [["buy", "buy"]]})
    assert expected.probabilities is not None
    assert probabilities == pytest.approx(expected.probabilities[0].tolist(), abs=1e-5)
    assert probabilities != pytest.approx(unknown[1], abs=1e-4)
