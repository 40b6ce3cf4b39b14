"""The page of a measurement in a real browser: on a desk, on a phone, on paper, in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import BenchRecord
from bench.demo.households import Household
from bench.report.page import cards, figure, page, preformatted
from bench.report.report import bench_sections, html_page
from bst.run.figures import draw_learning_curve
from bst.training.metrics import RankingMetrics
from bst.training.trainer import EpochReport
from tests.bench.report.crowded import crowded
from tests.browser import NEEDS_CHROMIUM

pytestmark = [pytest.mark.bundle, NEEDS_CHROMIUM]
Opened = Callable[..., Any]

PHONE = {"width": 390, "height": 844}
PAPER = {"width": 688, "height": 1017}  # A4 at 96 dots an inch, without the margins of 14 mm
OVERFLOW = "() => document.scrollingElement.scrollWidth - innerWidth"
# Of each table: how far it reaches beyond the box that it is in, and beyond the window.
BEYOND = """() => [...document.querySelectorAll("table")].map((table) => [
    table.scrollWidth - table.parentElement.clientWidth,
    Math.ceil(table.getBoundingClientRect().right) - innerWidth,
])"""
# Of each figure: its right side, and how many pixels high a letter of 9 points of the drawing is.
FIGURES = """() => [...document.querySelectorAll("figure svg")].map((svg) => {
    const { right, width } = svg.getBoundingClientRect();
    return [right, (9 * width) / svg.viewBox.baseVal.width];
})"""
# Colours as red, green, blue; their contrast by WCAG 2.
CONTRAST = """() => {
    const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll("h1, h2, h3, p, th, td, td span, figcaption")].map((one) => {
        const ink = light(getComputedStyle(one).color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    });
}"""


def demo_like(record: BenchRecord) -> str:
    """What the page of a demo has beside a measurement: households, a learning curve, commands."""
    bought = ["Mainstream Wheat/Multigrain Br, 20 OZ, store brand"] * 6
    household = Household("age 45-54, income 15-24K", bought, [(name, 1.0) for name in bought], bought[0], is_hit=True)
    quality = RankingMetrics(num_users=9, hr={10: 0.1}, ndcg={10: 0.05}, mrr=0.04)
    settled = {"rows_per_s": 9.0, "gradient_norm": 1.0, "gradient_norm_std": 0.1, "clip_norm": None, "best": True}
    reports = [
        EpochReport(epoch=epoch, loss=8.0 - epoch, learning_rate=0.1, validation=quality, **settled) for epoch in (1, 2)
    ]
    curve = figure(draw_learning_curve(reports, ("most bought", 0.09), stacked=True), "Loss and HR@10 by epoch.")
    commands = preformatted("bst recommend demo/bundle --history 397896,818980 --context age=35-44,household_size=2")
    return page("What next?", "A lead.", [cards([household] * 3), curve, *bench_sections(crowded(record)), commands])


@pytest.fixture(scope="module")
def pages(record: BenchRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of a crowded record, and with that of a demo."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "bench.html").write_text(html_page(crowded(record)), encoding="utf-8")
    (folder / "demo.html").write_text(demo_like(record), encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser: Any, pages: Path) -> Iterator[Opened]:
    """Open one of the pages in a window of a size."""
    contexts = []

    def open_page(viewport: dict[str, int], name: str = "bench.html", **options: Any) -> Any:
        contexts.append(browser.new_context(viewport=viewport, **options))
        shown = contexts[-1].new_page()
        shown.goto((pages / name).as_uri())
        return shown

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_answer_comes_first_and_is_inside_the_window(opened: Opened, width: int) -> None:
    shown = opened({"width": width, "height": 900})
    first = shown.locator("table").first
    heads = ["backend", "time of a call, us", "times as fast as eager", "verdict", "right or wrong"]
    assert first.locator("thead th").all_inner_texts() == [*heads, "share of the roofline"]
    assert first.locator("tr.part").all_inner_texts() == ["batch 1", "batch 1024"]
    assert "1,234,567 (1,134,567-1,334,567)" in first.inner_text()
    assert shown.locator("table, figure").first.evaluate("one => one.tagName") == "TABLE"
    assert shown.evaluate(OVERFLOW) <= 0
    beyond = shown.evaluate(BEYOND)
    assert len(beyond) == 3
    assert all(box <= 0 and window <= 0 for box, window in beyond), beyond


def test_a_phone_scrolls_the_table_and_not_the_page_and_the_backend_stays(opened: Opened) -> None:
    shown = opened(PHONE)
    assert shown.evaluate(OVERFLOW) <= 0
    box, name = shown.locator(".scroll").first, shown.locator("td").first
    before = name.bounding_box()["x"]
    moved = box.evaluate("one => { one.scrollLeft = 9999; return one.scrollLeft }")
    assert moved > 20
    assert name.bounding_box()["x"] == before
    assert shown.locator("tr.part span").first.bounding_box()["x"] == before
    assert shown.locator("thead th").first.bounding_box()["x"] == before
    last = shown.locator("tr:nth-child(2) td").nth(5).bounding_box()
    assert last["x"] + last["width"] <= PHONE["width"]
    assert name.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"


def test_figures_fit_a_phone_with_letters_that_can_be_read(opened: Opened) -> None:
    figures = opened(PHONE).evaluate(FIGURES)
    assert len(figures) == 4
    assert all(right <= PHONE["width"] and letter >= 10 for right, letter in figures)


def test_paper_has_every_column_at_a_size_that_can_be_read(opened: Opened) -> None:
    shown = opened(PAPER)
    shown.emulate_media(media="print")
    assert shown.evaluate(OVERFLOW) <= 0
    assert all(box <= 0 and window <= 0 for box, window in shown.evaluate(BEYOND))
    points = shown.locator("td").first.evaluate("one => 0.75 * parseFloat(getComputedStyle(one).fontSize)")
    assert points >= 8
    assert all(right <= PAPER["width"] and letter >= 9 for right, letter in shown.evaluate(FIGURES))
    kept = "one => [getComputedStyle(one).breakAfter, getComputedStyle(one).breakInside]"
    assert all(one.evaluate(kept)[0] == "avoid" for one in shown.locator("h1, h2, h3, tr.part").all())
    assert all(one.evaluate(kept)[1] == "avoid" for one in shown.locator("tr, figure").all())


@pytest.mark.parametrize("viewport", [PHONE, PAPER, {"width": 1280, "height": 900}])
def test_the_page_of_a_demo_fits_too(opened: Opened, viewport: dict[str, int]) -> None:
    shown = opened(viewport, "demo.html")
    shown.emulate_media(media="print" if viewport == PAPER else "screen")
    assert shown.evaluate(OVERFLOW) <= 0
    figures = shown.evaluate(FIGURES)
    assert len(figures) == 5
    assert all(right <= viewport["width"] and letter >= 9 for right, letter in figures)
    assert all(one.bounding_box()["width"] >= 180 for one in shown.locator(".card").all())
    if viewport["width"] != 1280:
        pre = shown.locator("pre")
        assert pre.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_stands_out(opened: Opened, scheme: str) -> None:
    assert min(opened(PHONE, color_scheme=scheme).evaluate(CONTRAST)) >= 4.5
