"""The page of a measurement in a real browser: on a desk, on a phone, on paper, in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import BenchRecord
from bench.report.report import html_page
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


@pytest.fixture
def opened(browser: Any, record: BenchRecord, tmp_path: Path) -> Iterator[Opened]:
    """Open the page of a crowded record."""
    path = tmp_path / "bench.html"
    path.write_text(html_page(crowded(record)), encoding="utf-8")
    contexts = []

    def open_page(viewport: dict[str, int], **options: Any) -> Any:
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_answer_comes_first_and_is_inside_the_window(opened: Opened, width: int) -> None:
    page = opened({"width": width, "height": 900})
    first = page.locator("table").first
    heads = ["backend", "time of a call, us", "times as fast as eager", "verdict", "right or wrong"]
    assert first.locator("thead th").all_inner_texts() == [*heads, "share of the limit"]
    assert first.locator("tr.part").all_inner_texts() == ["batch 1", "batch 1024"]
    assert "1,234,567 (1,134,567-1,334,567)" in first.inner_text()
    assert page.locator("table, figure").first.evaluate("one => one.tagName") == "TABLE"
    assert page.evaluate(OVERFLOW) <= 0
    beyond = page.evaluate(BEYOND)
    assert len(beyond) == 3
    assert all(box <= 0 and window <= 0 for box, window in beyond), beyond


def test_a_phone_scrolls_the_table_and_not_the_page_and_the_backend_stays(opened: Opened) -> None:
    page = opened(PHONE)
    assert page.evaluate(OVERFLOW) <= 0
    box, name = page.locator(".scroll").first, page.locator("td").first
    before = name.bounding_box()["x"]
    moved = box.evaluate("one => { one.scrollLeft = 9999; return one.scrollLeft }")
    assert moved > 20
    assert name.bounding_box()["x"] == before
    assert page.locator("tr.part span").first.bounding_box()["x"] == before
    assert page.locator("thead th").first.bounding_box()["x"] == before
    last = page.locator("tr:nth-child(2) td").nth(5).bounding_box()
    assert last["x"] + last["width"] <= PHONE["width"]
    assert name.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"


def test_figures_fit_a_phone_with_letters_that_can_be_read(opened: Opened) -> None:
    figures = opened(PHONE).evaluate(FIGURES)
    assert len(figures) == 4
    assert all(right <= PHONE["width"] and letter >= 10 for right, letter in figures)


def test_paper_has_every_column_at_a_size_that_can_be_read(opened: Opened) -> None:
    page = opened(PAPER)
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOW) <= 0
    assert all(box <= 0 and window <= 0 for box, window in page.evaluate(BEYOND))
    points = page.locator("td").first.evaluate("one => 0.75 * parseFloat(getComputedStyle(one).fontSize)")
    assert points >= 8
    assert all(right <= PAPER["width"] and letter >= 9 for right, letter in page.evaluate(FIGURES))
    kept = "one => [getComputedStyle(one).breakAfter, getComputedStyle(one).breakInside]"
    assert all(one.evaluate(kept)[0] == "avoid" for one in page.locator("h1, h2, h3, tr.part").all())
    assert all(one.evaluate(kept)[1] == "avoid" for one in page.locator("tr, figure").all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_stands_out(opened: Opened, scheme: str) -> None:
    assert min(opened(PHONE, color_scheme=scheme).evaluate(CONTRAST)) >= 4.5
