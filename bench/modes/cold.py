"""Cold starts: the time from the start of a process to its first answer, and its peak memory."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import subprocess
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.contestants.backends import Backend
from bench.contestants.plain_files import open_onnx, whole_inputs
from bench.harness.cases import draw_calls
from bench.harness.contest import Contest, parity_of, worst_parity
from bench.harness.scales import add_scales
from bench.record.record import REFERENCE, Cache, Case, ColdRow, Parity
from bench.record.statistics import Interval, mean_of_launches
from bst.errors import CheckError
from bst.system.files import temporary_folder
from export import compare
from export.bundle.folder import format_of_backend
from export.contract.inputs import Arrays

SCRIPT = Path(__file__).with_name("cold_start.py")
DROP = Path("/proc/sys/vm/drop_caches")
# Backends that need no code of this project; all others are opened by it, with the time of its imports.
ALONE = ("onnxruntime", "torchscript", "aotinductor")
PARTS = ("start", "imports", "load", "answer")


def measure_cold(contest: Contest, threads: int) -> list[ColdRow]:
    """Start every backend in a fresh process, in random order, `launches` times for each state of the page cache.

    Dropping the cache needs root, and slows down the whole machine for a moment.
    """
    caches: list[Cache] = ["warm", "dropped"]
    if not os.access(DROP, os.W_OK):
        contest.unavailable["cold, page cache dropped"] = "only root may drop it"
        caches.remove("dropped")
    case = contest.cases(threads)[0].model_copy(update={"batch_size": 1})

    def there() -> list[str]:
        return [name for name in contest.backends if contest.config.is_requested(name)]

    parts_of_starts: dict[tuple[str, Cache], list[dict[str, float]]] = defaultdict(list)
    parity: dict[tuple[str, Cache], list[Parity]] = defaultdict(list)
    with temporary_folder() as folder:
        starts = {name: _Start(contest, backend, case, folder) for name, backend in contest.backends.items()}
        expected = _expected(contest, starts[REFERENCE].inputs, threads)
        for name in there():  # the first start reads everything into the cache, and does not count
            contest.tell(f"cold: reading {name} once")
            with contest.tolerant(name):
                starts[name].run()
        order = random.Random(contest.config.seed)
        for launch in range(contest.config.launches):
            for cache in caches:
                for name in order.sample(there(), len(there())):
                    contest.tell(f"cold start {launch + 1} of {contest.config.launches}, cache {cache}: {name}")
                    with contest.tolerant(name):
                        measured, answer = starts[name].run(drop=cache == "dropped")
                        parts_of_starts[name, cache].append(measured)
                        parity[name, cache].append(starts[name].parity(expected, answer))
    return [
        _row(contest.backends[name], case, cache, parts_of_starts[name, cache], worst_parity(parity[name, cache]))
        for cache in caches
        for name in there()
    ]


def _expected(contest: Contest, inputs: Arrays, threads: int) -> Arrays:
    """Answer a call by the reference, with its scale."""
    reference, signature = contest.backends[REFERENCE], contest.config.signature
    answer = reference.open(contest.bundle, signature, threads)(inputs)
    add_scales([answer], [inputs], contest.bundle, signature, reference, threads)
    return answer


class _Start:
    """One backend's task for a fresh process: the inputs written, the file named."""

    def __init__(self, contest: Contest, backend: Backend, case: Case, folder: Path) -> None:
        self.contest, self.backend = contest, backend
        bundle, name = contest.bundle, contest.config.signature
        signature = bundle.manifest.signature(name)
        kind = backend.name.partition("#")[0]
        task: dict[str, Any] = {"name": name, "threads": case.threads}
        if isinstance(backend.open, partial) and backend.open.func is open_onnx:
            signature = bundle.signature_at(name, "index")
            task |= {"kind": "onnxruntime", "path": str(backend.open.keywords["path"])}
        elif kind in ALONE:
            record = bundle.manifest.format(format_of_backend(kind).name)
            signature = bundle.signature_at(name, record.ids)
            task |= {"kind": kind, "path": str(bundle.path / record.entries[name].path)}
        else:
            pickled = base64.b64encode(pickle.dumps(backend)).decode()
            task |= {"kind": "library", "path": str(bundle.path.absolute()), "backend": pickled}
        self.inputs = draw_calls(bundle, case, contest.config.seed)[0].inputs(signature, bundle.vocabularies)
        if signature.ids == "index":
            self.inputs = whole_inputs(self.inputs)
        files = {what: folder / f"{backend.name}.{what}.npz" for what in ("inputs", "outputs")}
        arrays = {
            array_name: array.astype(str) if array.dtype == object else array
            for array_name, array in self.inputs.items()
        }
        np.savez(files["inputs"], allow_pickle=False, **arrays)
        task |= {what: str(path) for what, path in files.items()}
        task |= {"order": [spec.name for spec in signature.inputs], "output_names": signature.output_names}
        self.outputs, self.task = files["outputs"], json.dumps(task)

    def run(self, drop: bool = False) -> tuple[dict[str, float], dict[str, Any]]:
        """Start, wait, and return milliseconds of each part with the peak memory, and the answer.

        Raises:
            CheckError: the process failed.
        """
        if drop:
            os.sync()
            DROP.write_text("1")
        started = time.monotonic()
        command = [sys.executable, "-P", str(SCRIPT), self.task]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            report = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            raise CheckError(f"backend {self.backend.name} failed in a fresh process: {report}")
        report = json.loads(process.stdout.splitlines()[-1])
        moments = [started, *report["moments"]]
        parts = {
            name: 1e3 * (later - earlier) for name, earlier, later in zip(PARTS, moments[:-1], moments[1:], strict=True)
        }
        answer = dict(np.load(self.outputs))
        if "item_indices" in answer and self.contest.bundle.manifest.ids == "raw":
            answer["item_ids"] = self.contest.bundle.vocabularies.items.raw(answer.pop("item_indices"))
        return {**parts, "total": 1e3 * (moments[-1] - started), "peak_mb": report["peak_mb"]}, answer

    def parity(self, expected: dict[str, Any], answer: dict[str, Any]) -> Parity:
        manifest = self.contest.bundle.manifest
        spec = manifest.signature(self.contest.config.signature)
        return parity_of([compare(spec, expected, answer, manifest.tolerance)])


def _row(backend: Backend, case: Case, cache: Cache, parts: list[dict[str, float]], parity: Parity) -> ColdRow:
    def of(part: str) -> Interval:
        return mean_of_launches(np.array([start[part] for start in parts]))

    return ColdRow(
        backend=backend.name,
        num_items=case.num_items,
        peer=backend.peer,
        exact=backend.exact,
        cache=cache,
        total_ms=of("total"),
        start_ms=of("start"),
        imports_ms=of("imports"),
        load_ms=of("load"),
        answer_ms=of("answer"),
        peak_mb=of("peak_mb"),
        parity=parity,
        samples_ms=tuple(tuple(start[part] for part in PARTS) for start in parts),
    )
