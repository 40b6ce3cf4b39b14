"""A record that is harder to show than a measured one: long names, large numbers, wrong answers, two batch sizes."""

from __future__ import annotations

from bench import BenchRecord
from bench.record.record import Parity
from bench.record.statistics import Interval

NAMES = ("eager", "onnxruntime", "torchscript-optimized", "aotinductor-cuda-bf16", "pt2")
WRONG = Parity(max_error=1.06e-2, swaps=3, failure="row 0 is off by 1.06e-02 of the largest scores, 1e-05 is allowed")


def crowded(record: BenchRecord) -> BenchRecord:
    """The rows of a measured record under other names, at two batch sizes, some of them slow and wrong."""
    rows = []
    for place, size in enumerate((1, 1024)):
        for name in NAMES:
            row = record.latency[min(len(record.latency) - 1, NAMES.index(name))]
            times = Interval(value=2.34, low=1.23, high=14.56)
            update = {
                "backend": name,
                "case": row.case.model_copy(update={"batch_size": size}),
                "parity": WRONG if name.endswith("bf16") else row.parity,
                "best": "torchscript-optimized",
                "best_verdict": "cannot tell",
                "to_best": times,
            }
            if place:
                slow = Interval(value=1_234_567.0, low=1_134_567.0, high=1_334_567.0)
                tails = dict.fromkeys(("p50_us", "p95_us", "p99_us", "p999_us", "mean_us"), slow)
                update |= {"latency": row.latency.model_copy(update=tails), "to_eager": times, "verdict": "cannot tell"}
            rows.append(row.model_copy(update=update))
    return record.model_copy(update={"latency": tuple(rows)})
