"""A finished demo on a page in the browser: `bst demo --serve`."""

from __future__ import annotations

from pathlib import Path

from bst.errors import InputError
from export.page import require_page, serve_page


def require_demo(out: Path) -> None:
    """Refuse a folder that is not a finished demo with a bundle that this version reads.

    Raises:
        InputError: it is not; the message has the remedy.
    """
    for path in (out / "index.html", out / "bundle"):
        if not path.exists():
            raise InputError(f"{out} is not a finished demo: {path} is missing; give another --out or remove it")
    require_page(out / "bundle")


def serve_demo(out: Path, port: int, *, browser: bool) -> int:
    """Serve the bundle of a demo, as `serve_page` does."""
    return serve_page(out / "bundle", port=port, browser=browser)
