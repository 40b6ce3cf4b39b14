"""The machine and libraries that a measurement was taken with."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from bench.workers import ALLOCATOR
from bst.checkpoint import library_versions

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd")


def describe(threads: int) -> dict[str, Any]:
    """Record CPU, cores, libraries, threads and load, as plain values for JSON."""
    cpu, flags = _cpu()
    return {
        "cpu": cpu,
        "cpu_features": [name for name in FEATURES if name in flags],
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": threads,
        "allocator": {name: os.environ.get(name, value) for name, value in ALLOCATOR.items()},
        "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "versions": library_versions("onnx", "onnxruntime"),
    }


def _cpu() -> tuple[str, set[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    stripped = {name.strip(): value.strip() for name, value in fields.items()}
    name = stripped.get("model name", platform.machine())
    return name, set((stripped.get("flags") or stripped.get("Features") or "").split())
