"""One training by several processes of a Ray cluster: `python train_on_ray.py DATA RUN PROCESSES`.

DATA and RUN lie on a disk that all machines see. Killed and started again, it goes on from the last checkpoint.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import ray

from bst.cli import run


@ray.remote(num_cpus=1)
class Process:
    """One process of a training, on a machine that Ray chooses."""

    def address(self) -> tuple[str, int]:
        """Return where the others find the first process."""
        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def train(self, rank: int, size: int, address: tuple[str, int], arguments: list[str]) -> int:
        """Train as `bst train` does under torchrun; return its exit code."""
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": address[0], "MASTER_PORT": str(address[1])}
        return run(["train", *arguments])


def main() -> None:
    data, out = (str(Path(word).resolve()) for word in sys.argv[1:3])  # each process has a folder of its own
    size = int(sys.argv[3])
    processes = [Process.remote() for _ in range(size)]
    address = ray.get(processes[0].address.remote())
    arguments = [data, "--out", out, "--resume", *sys.argv[4:]]
    codes = ray.get([process.train.remote(rank, size, address, arguments) for rank, process in enumerate(processes)])
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
