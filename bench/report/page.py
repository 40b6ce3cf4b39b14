"""One self-contained HTML page: no script, no font, no file beside it; readable on a phone and printed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib import resources
from io import StringIO

import matplotlib
from matplotlib.figure import Figure

STYLE = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def page(title: str, lead: str, parts: Iterable[str]) -> str:
    """Join `parts`, which are HTML, below a title and a lead, which are text."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n"
        f'<body><main><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>\n{body}\n</main></body></html>\n'
    )


def text(value: object) -> str:
    """Escape for HTML."""
    return html.escape(str(value))


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{text(title)}</h2>\n" + "\n".join(parts) + "</section>"


def paragraph(content: str, kind: str = "") -> str:
    return f'<p class="{kind}">{text(content)}</p>'


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Large numbers, each over what it is."""
    cells = "".join(f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span></div>' for value, label in pairs)
    return f'<div class="tiles">{cells}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """A table of HTML cells; the columns in `numeric` are aligned right."""
    right = set(numeric)

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = (' class="n"' if place in right else "" for place in range(len(values)))
        return "".join(f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells("th", head)}</tr>{body}</table></div>'


def figure(drawn: Figure, caption: str) -> str:
    """Put a figure into the page as SVG; the same figure gives the same bytes."""
    stream = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bst", "svg.fonttype": "path"}):
        drawn.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = stream.getvalue()
    label = f'<svg role="img" aria-label="{text(caption)}" '
    svg = svg[svg.index("<svg") :].replace("<svg ", label, 1)
    return f"<figure>{svg}<figcaption>{text(caption)}</figcaption></figure>"
