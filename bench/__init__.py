"""A bundle is measured: which backend, at which batch size, how fast, how sure, and is it right."""

from bench.modes.measure import measure_bundle, measure_random
from bench.record.record import BenchConfig, BenchRecord, read_record

__all__ = ["BenchConfig", "BenchRecord", "measure_bundle", "measure_random", "read_record"]
