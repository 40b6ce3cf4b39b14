"""A large batch that is killed many times: its bytes, and the most memory of all its processes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bst.errors import CheckError

POLL_S = 0.05


@dataclass(frozen=True)
class Disturbed:
    """What a batch was put through.

    Attributes:
        kills, terminations: how often the command was killed, and ended by SIGTERM.
        seconds: of all its calls, by the clock.
        peak_bytes: the most memory of the command and its workers together; pages that they share count once (PSS).
        sha256: over the names and bytes of all shards.
    """

    kills: int
    terminations: int
    seconds: float
    peak_bytes: int
    sha256: str


def score_disturbed(
    bundle: Path, users: Path, out: Path, *, kills: int, mean_s: float, workers: int, seed: int = 0
) -> Disturbed:
    """Run `bst score --resume`, kill it at random moments, about `mean_s` apart, and let it end.

    Raises:
        CheckError: the last call fails, or a call that was ended by SIGTERM left something half-written.
    """
    command = [sys.executable, "-m", "bst", "score", str(bundle), str(users), "--out", str(out), "--resume"]
    command += ["--workers", str(workers)]
    rng, began, peak = random.Random(seed), time.monotonic(), 0
    signals = [signal.SIGKILL, signal.SIGTERM]
    heard = {signal.SIGKILL: 0, signal.SIGTERM: 0}
    while True:
        left = kills - sum(heard.values())
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + rng.expovariate(1 / mean_s) if left else float("inf")
        while process.poll() is None and time.monotonic() < until:
            peak = max(peak, resident(process.pid))
            time.sleep(POLL_S)
        kind = signals[left % 2]
        if process.poll() is None:
            heard[kind] += 1
            process.send_signal(kind)
        _, stderr = process.communicate()
        if process.returncode == 0:
            break
        if process.returncode not in (-signal.SIGKILL, -signal.SIGTERM, 143):  # before it heeds signals, or after
            raise CheckError(f"bst score ends with {process.returncode}: {stderr.strip()}")
        if process.returncode == 143 and (partial := list(out.rglob("*.partial-*"))):
            raise CheckError(f"SIGTERM leaves {partial[0]}")
    seconds = time.monotonic() - began
    return Disturbed(heard[signal.SIGKILL], heard[signal.SIGTERM], seconds, peak, hash_of(out))


def hash_of(out: Path) -> str:
    """Hash all shards, by name."""
    digest = hashlib.sha256()
    for path in sorted(out.glob("*.parquet")):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def resident(process: int) -> int:
    """Return the bytes of memory of a process and those that it started; those that have ended count nothing."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        parents.setdefault(_parent(int(name)), []).append(int(name))
    total, todo = 0, [process]
    while todo:
        number = todo.pop()
        total += _pss(number)
        todo += parents.get(number, [])
    return total


def _parent(number: int) -> int:
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _pss(number: int) -> int:
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
