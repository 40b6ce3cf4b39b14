"""The settings and doubles of the tests of the bench, which leave out what is tested in a place of its own."""

from __future__ import annotations

from typing import Any

import pytest

from bench.commands import OF_MODE

LIMITS: dict[str, Any] = {"warm_windows": 3, "speed_seconds": 0.02, "max_pool": 16}


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Measure bundles without verifying them first; that they are verified is a test of its own. `bst bench` with a
    `--mode` takes less time where it has no option for that."""
    patch.setattr("bench.modes.measure.verify_bundle", lambda path, tell: ())
    for mode in ("latency", "surface", "load", "cold"):
        patch.setitem(OF_MODE, mode, {**OF_MODE.get(mode, {}), **LIMITS})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
