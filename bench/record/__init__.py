"""The record: the results of a measurement, their statistics, and the machine."""

from bench.record.environment import describe
from bench.record.record import BenchConfig, BenchRecord, read_record

__all__ = ["BenchConfig", "BenchRecord", "describe", "read_record"]
