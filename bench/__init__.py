"""Bench: measurements of a bundle, by backend and batch size, with intervals and with a check of every answer."""

from bench.modes.measure import measure_bundle, measure_random
from bench.record.record import BenchConfig, BenchRecord, read_record

__all__ = ["BenchConfig", "BenchRecord", "measure_bundle", "measure_random", "read_record"]
