"""Engines: each maps a function over a list of units, on one machine or on many."""

from export.batch.engines.engine import ENGINES, Engine

__all__ = ["ENGINES", "Engine"]
