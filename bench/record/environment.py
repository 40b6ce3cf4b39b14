"""The machine and libraries that a measurement was taken with."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from bst.run.folder import library_versions
from bst.system.machine import cpu_fields, cpu_flags, cpu_model, last_cores, memory_bytes, read_system
from export.contract.signatures import Signature, TensorSpec
from export.sessions.session import TorchSession

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd")
OPTIONAL = ("openvino", "onnxruntime-gpu")
CPU_0 = "/sys/devices/system/cpu/cpu0"
OVERHEAD_CALLS = 20_000
# Without these, glibc may return freed memory to the system and fetch it again in every call, or not, as its heap
# happened to grow: TorchScript at batch 32 took 5.2 or 10.4 ms from one launch to the next.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_TOP_PAD_": str(2**26),
}


def describe(threads: tuple[int, ...]) -> dict[str, Any]:
    """Record CPU, cores, frequency, libraries, threads and load, for JSON; None where the system does not report it."""
    fields, flags, memory = cpu_fields(), cpu_flags(), memory_bytes()
    return {
        "cpu": cpu_model(),
        "cpu_features": [name for name in FEATURES if name in flags],
        "cores": os.cpu_count(),
        "caches": {
            name: size
            for name in ("index0", "index1", "index2", "index3")
            if (size := read_system(f"{CPU_0}/cache/{name}/size"))
        },
        "mhz": float(fields["cpu MHz"]) if "cpu MHz" in fields else None,
        "governor": read_system(f"{CPU_0}/cpufreq/scaling_governor"),
        "memory_mb": memory and memory // 1_000_000,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": list(threads),
        "pinned_to_cores": {str(count): list(last_cores(count)) for count in threads},
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
    """Measure the microseconds that the clock and a session add to a call that does nothing: the median of many."""
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
