"""The harness: each contestant in a process of its own, and its inputs."""

from bench.harness.cases import MIN_POOL, draw_calls, draw_inputs, first_input, pool_size
from bench.harness.closed_loop import Soaked
from bench.harness.contest import Contest, parity_of, weight_bytes, worst_parity
from bench.harness.load import Arrivals, Served
from bench.harness.workers import Answers, Worker

__all__ = [
    "MIN_POOL",
    "Answers",
    "Arrivals",
    "Contest",
    "Served",
    "Soaked",
    "Worker",
    "draw_calls",
    "draw_inputs",
    "first_input",
    "parity_of",
    "pool_size",
    "weight_bytes",
    "worst_parity",
]
