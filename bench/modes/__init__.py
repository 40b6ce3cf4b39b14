"""Modes: latency, surface, load, cold start, soak."""

from bench.modes.measure import measure_bundle, measure_random

__all__ = ["measure_bundle", "measure_random"]
