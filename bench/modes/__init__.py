"""Modes: latency, surface, load, cold start, soak."""

from bench.modes.measure import check_config, measure_bundle, measure_random

__all__ = ["check_config", "measure_bundle", "measure_random"]
