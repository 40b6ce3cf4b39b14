"""A real browser for tests of pages, where one is installed."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
# Nothing of Chromium's own may ask the network while a page is watched.
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
