"""Facts about this machine and process; empty or None where the system does not report them."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def read_system(path: str) -> str | None:
    """Read a file of `/proc` or `/sys`, without the whitespace around it."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def cpu_fields() -> dict[str, str]:
    """Read what Linux lists of the first processor, such as `model name`, `flags`, `cpu MHz`."""
    first = (read_system("/proc/cpuinfo") or "").split("\n\n")[0]
    parts = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in parts}


def cpu_model() -> str:
    return cpu_fields().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Return the features of this CPU by Linux's names (`flags` on x86, `Features` on ARM)."""
    fields = cpu_fields()
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())


def memory_bytes(kind: str = "MemTotal") -> int | None:
    """Read a line of `/proc/meminfo`: `MemTotal` is all memory, `MemAvailable` the memory that processes can still
    get.
    """
    lines = (read_system("/proc/meminfo") or "").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:")), None)


def resident_bytes() -> int | None:
    """Return the bytes of memory that this process holds now."""
    pages = read_system("/proc/self/statm")
    return int(pages.split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages else None


def last_cores(count: int) -> tuple[int, ...]:
    """Return the last `count` cores that this process may use, to keep threads on; none if there are too few."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return tuple(allowed[-count:]) if count <= len(allowed) else ()
