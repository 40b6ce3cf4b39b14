"""The page in a real browser: it recommends what `bst recommend` does, offline too, and refuses what was altered."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export import open_bundle
from export.bundle.folder import replay
from export.contract.rules import read_manifest
from tests.browser import NEEDS_CHROMIUM
from tests.clients.altered import alter, flip_in_the_middle, give_names, raise_one_score
from tests.clients.js.page import PAGE_RUNTIME, Watched, served
from tests.conftest import Command

VARIANTS = ("raw_ids", "text_ids", "numbers_k_input", "index")
pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
    pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm"),
]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Open a page as a new visitor."""
    contexts = []

    def opened(**options: Any) -> Watched:
        contexts.append(browser.new_context(**options))
        watched = Watched(contexts[-1].new_page())
        contexts[-1].on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("console", lambda message: watched.told.append(f"{message.type}: {message.text}"))
        watched.page.on("pageerror", lambda error: watched.told.append(str(error)))
        return watched

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_three_items_picked_by_keyboard_get_what_bst_recommends(
    variant: str, variants: dict[str, Path], open_page: Callable[..., Watched], bst_command: Command
) -> None:
    bundle = open_bundle(variants[variant])
    ids = [str(one) for one in bundle.vocabularies.items.ids.to_list()]
    picked = [ids[3], ids[-1], ids[7]]
    with served(variants[variant]) as site:
        watched = open_page()
        watched.load(site.url)
        keyboard = watched.page.keyboard
        keyboard.press("Tab")
        keyboard.type(picked[0])
        keyboard.press("Enter")
        keyboard.type(picked[1][:-1])  # several items begin so
        option = watched.page.locator(f"#pick-input-list [role=option]:has-text('{picked[1]}')").first
        while option.get_attribute("aria-selected") is None:
            keyboard.press("ArrowDown")
        assert watched.page.locator("#pick-input").get_attribute("aria-activedescendant") == option.get_attribute("id")
        keyboard.press("Enter")
        keyboard.type("nothing of the kind")
        keyboard.press("Escape")
        keyboard.press("Escape")
        keyboard.type(picked[2])
        keyboard.press("Enter")
        watched.history(3)
        feature, vocabulary = next(iter(bundle.vocabularies.context.items()))
        category = str(vocabulary.ids[0])
        watched.page.locator(f"select[name={feature}]").focus()
        keyboard.press("ArrowDown")
        watched.page.wait_for_selector("#basis:has-text('and the context')")
        options = ("--history", ",".join(picked), "--context", f"{feature}={category}", "--json")
        wanted = json.loads(bst_command("recommend", variants[variant], *options)[1])
        found, scores = watched.ranking()
        assert found == [str(one) for one in wanted["item_ids"]]
        assert scores == pytest.approx(wanted["scores"], abs=1e-5)
        watched.pick(found[1], "#ask-input")
        watched.page.wait_for_selector("#scored li")
        assert watched.ranking("scored")[1] == pytest.approx([scores[1]], abs=1e-5)
        assert watched.told == []


def test_after_it_has_loaded_the_page_asks_for_nothing(
    bundle_path: Path, open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    named = shutil.copytree(bundle_path, tmp_path / "bundle")
    give_names(named, ["Bananas, 40 LB", "<b>Milk</b>"])
    with served(named) as site:
        watched = open_page()
        watched.load(site.url)
        loaded = len(watched.requests)
        before = watched.ranking()
        watched.pick("ban 40")
        watched.pick("<b>milk")
        watched.history(2)
        assert watched.page.locator("#history .name").all_inner_texts() == ["Bananas, 40 LB", "<b>Milk</b>"]
        known = watched.ranking()
        assert known != before
        watched.pick("123456789")
        watched.history(3)
        assert "unknown to the model, ignored" in watched.page.locator("#history li.unknown").inner_text()
        assert watched.ranking() == known
        watched.pick("987654321", "#ask-input")
        assert watched.page.locator("#scored .score").inner_text() == "no score"
        watched.page.locator("#recommended button").first.click()
        watched.history(4)
        watched.page.keyboard.press("Tab")
        watched.page.locator("#clear").click()
        watched.page.wait_for_selector("#basis:has-text('Nothing is picked')")
        assert watched.ranking() == before
        assert len(watched.requests) == loaded
        assert all(request.startswith(site.url) for request in watched.requests)
        assert watched.told == []


def test_without_score_candidates_the_page_recommends_and_offers_no_scoring(
    variants: dict[str, Path], open_page: Callable[..., Watched]
) -> None:
    with served(variants["onnx_top_k"]) as site:
        watched = open_page()
        watched.load(site.url)
        assert len(watched.ranking()[0]) == 3
        assert not watched.page.locator("#score").is_visible()
        assert watched.told == []
    with served(variants["score_candidates"]) as site:
        watched = open_page()
        watched.load(site.url)
        assert "holds no top_k" in watched.trouble()
        assert "top_k in --signatures" in watched.trouble()


def test_without_a_server_the_page_goes_on_and_comes_back(bundle_path: Path, open_page: Callable[..., Watched]) -> None:
    item = str(open_bundle(bundle_path).vocabularies.items.ids[5])
    with served(bundle_path) as site:
        watched = open_page()
        watched.load(site.url)
        site.stop()
        watched.pick(item)
        watched.history(1)
        found = watched.ranking()
        watched.page.reload()
        watched.settle()
        watched.pick(item)
        watched.history(1)
        assert watched.ranking() == found
        assert watched.told == []


def test_a_refreshed_bundle_is_not_stale(
    variants: dict[str, Path], open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    shutil.copytree(variants["raw_ids"], tmp_path / "bundle")
    with served(tmp_path / "bundle") as site:
        watched = open_page()
        watched.load(site.url)
        assert "2 context features" in watched.page.locator("#facts").inner_text()
        shutil.rmtree(tmp_path / "bundle")
        shutil.copytree(variants["numbers_k_input"], tmp_path / "bundle")
        watched.page.reload()
        watched.settle()
        assert "1 context feature," in watched.page.locator("#facts").inner_text()
        watched.page.locator("input[name=k]").fill("3")
        watched.page.keyboard.press("Tab")
        watched.page.wait_for_selector("#said:has-text('3 recommended')", state="attached")


def test_it_fits_a_phone_and_a_finger(bundle_path: Path, open_page: Callable[..., Watched]) -> None:
    item = str(open_bundle(bundle_path).vocabularies.items.ids[0])
    with served(bundle_path) as site:
        watched = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        watched.load(site.url)
        watched.pick(item)
        watched.pick("99999999")
        watched.history(2)
        watched.pick(item, "#ask-input")
        watched.page.wait_for_selector("#scored li")
        watched.page.locator("#pick-input").fill(item[0])
        assert watched.page.evaluate("() => document.documentElement.scrollWidth") == 360
        reached = watched.page.locator("button:visible, input:visible, select:visible, [role=option]:visible").all()
        boxes = [one.bounding_box() for one in reached]
        assert len(boxes) > 10
        assert min(min(box["width"], box["height"]) for box in boxes) >= 44
        watched.page.locator("#pick-input").blur()
        watched.page.locator("#history li button").first.tap()
        watched.page.wait_for_selector("#basis:has-text('none of the picked ids')")


def test_it_fits_every_window_and_paper(bundle_path: Path, open_page: Callable[..., Watched]) -> None:
    beyond = """() => [document.body, ...document.querySelectorAll(".card, .card *")]
        .filter((one) => one.getClientRects().length && !one.closest(".unseen, [role=listbox]"))
        .filter((one) => one.getBoundingClientRect().right > innerWidth || one.scrollWidth > one.clientWidth + 1)
        .filter((one) => getComputedStyle(one).display !== "inline").map((one) => one.outerHTML.slice(0, 80))"""
    with served(bundle_path) as site:
        watched = open_page(viewport={"width": 1280, "height": 900})
        watched.load(site.url)
        watched.pick("123456789")
        watched.history(1)
        assert watched.pressed("verify")["ok"]
        for width in (390, 1280, 1920):
            watched.page.set_viewport_size({"width": width, "height": 900})
            assert watched.page.evaluate(beyond) == [], width
        chip = watched.page.locator("#history .name")
        assert chip.bounding_box()["height"] < 30  # an id is not broken for the note beside it
        watched.page.set_viewport_size({"width": 688, "height": 1017})  # A4 without its margins
        watched.page.emulate_media(media="print")
        assert watched.page.evaluate(beyond) == []
        assert not watched.page.locator("#verify").is_visible()
        assert watched.page.locator("#verify-table td").first.is_visible()


@pytest.mark.parametrize("name", ["demo", "ml_1m", "text_ids"])
def test_the_browser_comes_to_the_verdict_of_bst_verify(
    name: str, bundles: dict[str, Path], open_page: Callable[..., Watched]
) -> None:
    with served(bundles[name]) as site:
        watched = open_page()
        watched.load(site.url)
        found = watched.pressed("verify")
        assert (found["ok"], found["failure"], found["warnings"]) == (True, None, [])
        manifest = read_manifest(bundles[name])
        record = manifest.format("onnx")
        for one, signature in zip(found["verdicts"], manifest.signatures_of(record), strict=True):
            wanted = vars(replay(bundles[name], manifest, record, signature))
            assert one.pop("max_error") == pytest.approx(wanted.pop("max_error"), abs=1e-6)
            # WebAssembly rounds otherwise, and equal scores may then stand in either order.
            assert one.pop("swaps") >= 0
            assert one == {name: value for name, value in wanted.items() if name != "swaps"}
        assert watched.page.locator("#verify-table tbody tr").count() == len(manifest.signatures_of(record)) > 0
        measured = watched.pressed("bench")
        assert (measured["client"], measured["case"], measured["calls"]) == ("web", "full", 2000)
        assert re.fullmatch(r"onnxruntime-web \d+\.\d+\.\d+", measured["runtime"])
        assert 0 < measured["p50_us"] <= measured["p99_us"]
        assert watched.told == []


def hashes(bundle: Path, path: str, change: Callable[[bytes], bytes]) -> tuple[str, str]:
    """Alter a file; give its hash before and after."""
    before = hashlib.sha256((bundle / path).read_bytes()).hexdigest()
    alter(bundle, path, change)
    return before, hashlib.sha256((bundle / path).read_bytes()).hexdigest()


def test_a_file_that_was_altered_or_is_missing_stops_the_page(
    bundle_path: Path, open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    before, after = hashes(bundle, "onnx/weights.bin", flip_in_the_middle)
    (bundle / "onnx" / "top_k.onnx").unlink()
    with served(bundle) as site:
        watched = open_page()
        watched.load(site.url)
        told = watched.trouble()
        assert "A file is not what was exported" in told
        assert "onnx/top_k.onnx is missing" in told
        assert "onnx/weights.bin is altered" in told
        assert before in told
        assert after in told
        assert not watched.page.locator("#ready").is_visible()
        shutil.copytree(bundle_path, bundle, dirs_exist_ok=True)
        watched.page.get_by_role("button", name="Try again").click()
        watched.page.wait_for_selector("#ready:not([hidden])")


def test_an_altered_golden_value_fails_the_verdict(
    bundle_path: Path, open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    before, after = hashes(bundle, "golden/top_k.json", raise_one_score)
    with served(bundle) as site:
        watched = open_page()
        watched.load(site.url)
        found = watched.pressed("verify")
        words = f"golden/top_k.json is altered: sha256 {after}, the manifest says {before}"
        assert not found["ok"]
        assert words in found["failure"]
        assert words in watched.page.locator("#verify-said.bad").inner_text()
        manifest = (bundle / "manifest.json").read_text().replace(before, after)
        size = (bundle / "golden" / "top_k.json").stat().st_size
        (record,) = (one for one in json.loads(manifest)["files"] if one["path"] == "golden/top_k.json")
        manifest = manifest.replace(f'"bytes": {record["bytes"]}', f'"bytes": {size}')
        (bundle / "manifest.json").write_text(manifest)
        watched.page.locator("#verify").click()
        watched.page.wait_for_selector("#verify-said:has-text('of the largest scores')", timeout=60_000)
        assert "onnx, top_k, golden case 'full': row 0 is off by " in watched.page.locator("#verify-said").inner_text()


def test_what_cannot_be_shown_says_what_to_do(
    bundle_path: Path, open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads((bundle_path / "manifest.json").read_text()) | {"schema_version": 2}))
    with served(tmp_path) as site:
        watched = open_page()
        watched.load(site.url)
        assert "schema_version=2, this version reads 4.*" in watched.trouble()
        assert "Export it again" in watched.trouble()
        manifest.unlink()
        watched.page.get_by_role("button", name="Try again").click()
        watched.page.wait_for_selector("#trouble:has-text('There is no bundle here')")
        assert "node serve.mjs BUNDLE" in watched.trouble()
        old = open_page()
        old.page.add_init_script("delete globalThis.WebAssembly")
        old.load(site.url)
        assert "This browser has no WebAssembly" in old.trouble()
        assert "Take a current browser" in old.trouble()
