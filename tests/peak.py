"""The peak of a command's memory, as Linux counts it for the process itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# `ru_maxrss` of a child would be that of this process, whose memory the child has until its program begins.
PROGRAM = """
import sys
from bst.cli import run
code = run(sys.argv[1:])
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak, file=sys.stderr)
sys.exit(code)
"""
HAS_PEAK = Path("/proc/self/status").exists()


def peak_of(*words: object) -> tuple[str, int]:
    """Call `bst` in a process of its own: what it prints, and the bytes of memory that it held at most."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, int(done.stderr.split()[-1])
