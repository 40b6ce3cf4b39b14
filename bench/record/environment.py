"""The machine and libraries that a measurement was taken with."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.harness.contest import cores
from bench.harness.workers import ALLOCATOR
from bst.run.folder import library_versions
from export.contract.signatures import Signature, TensorSpec
from export.sessions.session import TorchSession

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd")
OPTIONAL = ("openvino", "onnxruntime-gpu")
SYSTEM = Path("/sys/devices/system/cpu")
OVERHEAD_CALLS = 20_000


def describe(threads: tuple[int, ...]) -> dict[str, Any]:
    """Record CPU, cores, frequency, libraries, threads and load, for JSON; none for what is not told."""
    fields, flags = _cpu()
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "cpu_features": [name for name in FEATURES if name in flags],
        "cores": os.cpu_count(),
        "caches": {
            name: size
            for name in ("index0", "index1", "index2", "index3")
            if (size := _read(SYSTEM / f"cpu0/cache/{name}/size"))
        },
        "mhz": float(fields["cpu MHz"]) if "cpu MHz" in fields else None,
        "governor": _read(SYSTEM / "cpu0/cpufreq/scaling_governor"),
        "memory_mb": _memory_mb(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": list(threads),
        "pinned_to_cores": {str(count): list(cores(count)) for count in threads},
        "allocator": {name: os.environ.get(name, value) for name, value in ALLOCATOR.items()},
        "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "harness_overhead_us": measure_overhead(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            **library_versions("onnx", "onnxruntime"),
            **{name: version(name) for name in OPTIONAL if importlib.util.find_spec(name.replace("-", "_"))},
        },
    }


def measure_overhead() -> float:
    """Microseconds that the clock and a session add to a call that does nothing: the median of many."""
    spec = TensorSpec(name="items", dtype="int64", shape=("batch",))
    nothing = Signature(name="encode_user", ids="index", inputs=(spec,), outputs=(spec,))
    session = TorchSession(nothing, lambda items: items)
    prepared = session.prepare({"items": np.zeros(1, dtype=np.int64)})
    run, now, samples = session.run, time.perf_counter_ns, []
    with session.mode():
        for _ in range(OVERHEAD_CALLS):
            started = now()
            run(prepared)
            samples.append(now() - started)
    return float(np.median(samples)) / 1e3


def _memory_mb() -> int | None:
    first = (_read(Path("/proc/meminfo")) or "").splitlines()[:1]
    return int(first[0].split()[1]) // 1000 if first else None


def _cpu() -> tuple[dict[str, str], set[str]]:
    lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
    fields = {one.strip(): other.strip() for one, _, other in (line.partition(":") for line in reversed(lines)) if one}
    return fields, set((fields.get("flags") or fields.get("Features") or "").split())


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
