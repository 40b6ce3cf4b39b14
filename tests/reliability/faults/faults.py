"""Calls of `bst` as real processes, to be killed, interrupted or started twice, and what is left of them."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

LOG = logging.getLogger(__name__)
MARK = "BST_FAULTS"
SMALL = """
[model]
dim = 16
num_heads = 2
ff_width = 32
max_length = 12
head_widths = [24]
[training]
epochs = 3
batch_events = 80
checkpoint_seconds = 0.0
"""


@dataclass(frozen=True)
class Calls:
    """Processes `python -m bst` that have temporary files and messages in `folder`, and can be told by it."""

    folder: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def start(self, *arguments: object, errors: IO[str] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start one, in a process group of its own, as a terminal does."""
        self.temporary.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "bst", *map(str, arguments)],
            env={**os.environ, "TMPDIR": str(self.temporary), MARK: str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )

    def started(self, *arguments: object) -> Started:
        """Start one whose messages are kept."""
        path = self.folder / f"stderr-{len(list(self.folder.iterdir()))}"
        with path.open("w") as stream:
            return Started(self.start(*arguments, errors=stream), path)

    def processes(self) -> list[str]:
        """Command lines of all that were started here and by those, also where the one that started them is gone."""
        if not Path("/proc/self/environ").exists():
            pytest.skip("only Linux tells who is there")
        mark, found = f"{MARK}={self.folder}\0".encode(), []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes() + b"\0":
                    found.append((path / "cmdline").read_text().replace("\0", " "))
            except OSError:  # it has ended meanwhile
                continue
        return found

    def wait_for_all(self) -> None:
        """Wait until no process is left; fail where one stays."""
        until = time.monotonic() + 60
        while left := self.processes():
            assert time.monotonic() < until, left
            time.sleep(0.05)

    def own_temporary(self) -> list[str]:
        """What we keep in the folder for temporary files; libraries keep things there too."""
        return [path.name for path in self.temporary.glob("*") if "bst" in path.name or path.name.startswith("tmp")]


@dataclass(frozen=True)
class Started:
    """A process, and the file of its messages."""

    process: subprocess.Popen[bytes]
    messages: Path

    def end(self) -> tuple[int, str, str]:
        """Wait for it: exit code, nothing, and stderr, as `bst_command` gives them."""
        return self.process.wait(), "", self.messages.read_text()


def kill_at_random(
    start: Callable[[], subprocess.Popen[bytes]],
    kills: int,
    seconds: float,
    after_kill: Callable[[], str],
    after_end: Callable[[], None],
) -> Counter[str]:
    """Call again and again, each time with SIGKILL at a random moment of `seconds`, until so many have died of it.

    Gives how often `after_kill` said what. Who is quicker than its kill must have done well, and `after_end` follows.
    """
    seed = random.randrange(2**32)
    LOG.warning("seed of the moments: %d, within %.1f s", seed, seconds)
    moments, hits = random.Random(seed), Counter[str]()
    while hits.total() < kills:
        process = start()
        try:
            process.wait(moments.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL)
        if code:
            hits[after_kill()] += 1
            LOG.info("%d kills: %s", hits.total(), dict(hits))
        else:
            after_end()
    LOG.warning("%d kills: %s", hits.total(), dict(hits))
    return hits


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if ".partial-" in path.name]
