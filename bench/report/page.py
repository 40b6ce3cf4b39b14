"""One self-contained HTML page: no script, no font, no file beside it; readable on a phone and printed.

Arguments of the functions are text, which the template escapes; their results are HTML, which is inserted as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from bst.system.templates import macros

HERE = Path(__file__).parent
PARTS = macros(HERE / "page.html.jinja")


def page(title: str, lead: str, parts: Iterable[Markup]) -> str:
    """Join `parts` below a title and a lead."""
    style = (HERE / "style.css").read_text(encoding="utf-8")
    return str(PARTS.page(title, lead, style, parts)).lstrip()


def section(title: str, *parts: Markup) -> Markup:
    return _part(PARTS.section(title, parts))


def paragraph(content: str, kind: str = "") -> Markup:
    return _part(PARTS.paragraph(content, kind))


def preformatted(content: str) -> Markup:
    return _part(PARTS.preformatted(content))


def marked(content: str, kind: str) -> Markup:
    """Write a piece of text of a kind: `good`, `bad`, `soft` or none."""
    return _part(PARTS.marked(content, kind))


def stacked(content: str) -> Markup:
    """Write a value and its remark in brackets: below it where there is little room."""
    value, _, rest = content.partition(" (")
    return _part(PARTS.stacked(value, rest and f"({rest}"))


def tiles(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Write large numbers, each over its meaning."""
    return _part(PARTS.tiles(pairs))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Iterable[int] = (), kind: str = "") -> Markup:
    """Write a table; the columns in `numeric` are aligned right. Of the kind `facts`, its rows are names and texts."""
    return _part(PARTS.table(head, [("", rows)], set(numeric), kind))


def table_of_parts(
    head: Sequence[str], parts: Iterable[tuple[str, Iterable[Sequence[object]]]], numeric: Iterable[int] = ()
) -> Markup:
    """Write a table of rows in parts, each with a title of its own or none."""
    return _part(PARTS.table(head, parts, set(numeric), ""))


def subtitle(content: str) -> Markup:
    return _part(PARTS.subtitle(content))


def figures(drawn: Iterable[Markup]) -> Markup:
    """Put figures side by side where there is room."""
    return _part(PARTS.figures(drawn))


def cards(households: Iterable[Any]) -> Markup:
    """Write each household's purchases and recommendations; see `bench.demo.households.Household`."""
    return _part(PARTS.cards(households))


def figure(drawn: Figure, caption: str) -> Markup:
    """Put a figure into the page as SVG; the same figure gives the same bytes."""
    stream = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bst", "svg.fonttype": "path"}):
        drawn.savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    label = f'<svg role="img" aria-label="{escape(caption)}" '
    return _part(PARTS.figure(svg[svg.index("<svg") :].replace("<svg ", label, 1), caption))


def _part(rendered: Any) -> Markup:
    """Render a macro without the line breaks around it; it was escaped there."""
    return Markup(str(rendered).strip())
