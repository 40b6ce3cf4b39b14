"""One of two processes that train together, started as `torchrun` does but without loading torch anew."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from bst.cli import run
from bst.system.processes import end_with_parent


def train(rank: int, port: int, arguments: list[str], printed: Path) -> None:
    """Run `bst` with these arguments as process `rank` of two that meet at a port; what it prints goes to a file."""
    end_with_parent()
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
    with printed.open("w") as stream, redirect_stdout(stream):
        code = run(arguments)
    sys.exit(code)
