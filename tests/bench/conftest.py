"""What the tests of the bench leave out because it is tested in a place of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure bundles without verifying them first; that they are verified is a test of its own."""
    monkeypatch.setattr("bench.measure.verify_bundle", lambda path, tell: ())
