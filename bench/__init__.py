"""A bundle is measured: which backend, at which batch size, how fast, how sure, and is it right."""

from bench.latency import BenchConfig, BenchResult, measure_bundle

__all__ = ["BenchConfig", "BenchResult", "measure_bundle"]
