"""The cost of raw ids in the files: start-up, memory and time a call, of a bundle with ids against one without.

    python -m bench.studies.id_tables RAW INDEX

Two bundles of one run, exported with `--ids raw` and `--ids index`. `encode_user` is called, whose time does not depend
on the catalogue, with the histories that the bench draws; each measurement is a process of its own, on one thread, and
the two take turns. The differences are the price of the tables.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from statistics import median

import torch

from bench.harness.cases import draw_inputs
from bench.record.record import Case
from bst.errors import InputError
from bst.system.processes import in_own_process
from export import Bundle, open_bundle
from export.formats import FORMATS

LAUNCHES = 5
SECONDS = 0.5
BATCH_SIZES = (1, 32)


def _case(bundle: Bundle, batch_size: int) -> Case:
    return Case(num_items=bundle.manifest.items.count, threads=1, batch_size=batch_size, length=0, candidates=0)


def measure_load(path: Path, backend: str) -> dict[str, float]:
    """Load `encode_user` and call it: seconds to load, megabytes that it added, microseconds a call by batch size."""
    torch.set_num_threads(1)
    bundle = open_bundle(path)
    calls = {size: draw_inputs(bundle, "encode_user", _case(bundle, size)) for size in BATCH_SIZES}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    session = bundle.session(backend, "encode_user", threads=1)
    session(calls[1][0])
    result = {"load_s": time.perf_counter() - started}
    result["peak_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for size in BATCH_SIZES:
        prepared = [session.prepare(call) for call in calls[size]]
        samples: list[float] = []
        until = time.perf_counter() + SECONDS
        with session.mode():
            while time.perf_counter() < until:
                call = prepared[len(samples) % len(prepared)]
                began = time.perf_counter_ns()
                session.run(call)
                samples.append((time.perf_counter_ns() - began) / 1e3)
        result[f"call_{size}_us"] = median(samples[len(samples) // 5 :])  # the first fifth warms up
    return result


def compare_bundles(raw: Path, index: Path) -> list[str]:
    """Measure both bundles in every format that holds raw ids, in turns: rows of a Markdown table."""
    raw_formats = {record.name for record in open_bundle(raw).manifest.formats if record.ids == "raw"}
    backends = [form.backend for form in FORMATS if form.name in raw_formats]
    lines = ["| format | what | with ids | without | difference |", "|---|---|---|---|---|"]
    for backend in backends:
        results: dict[Path, list[dict[str, float]]] = {raw: [], index: []}
        for _ in range(LAUNCHES):
            for path in results:
                results[path].append(in_own_process(measure_load, path, backend))
        for what in results[raw][0]:
            with_ids, without = ([result[what] for result in results[path]] for path in (raw, index))
            spread = f"{min(with_ids):.4g}-{max(with_ids):.4g}", f"{min(without):.4g}-{max(without):.4g}"
            difference = median(with_ids) - median(without)
            lines.append(
                f"| {backend} | {what} | {median(with_ids):.4g} ({spread[0]}) | {median(without):.4g} ({spread[1]}) "
                f"| {difference:+.3g} |"
            )
    return lines


if __name__ == "__main__":
    try:
        print("\n".join(compare_bundles(Path(sys.argv[1]), Path(sys.argv[2]))))
    except (IndexError, InputError) as error:
        sys.exit(f"error: {error or __doc__}")
