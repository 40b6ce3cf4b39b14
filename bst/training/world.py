"""The processes that train one model together, as `torchrun` starts them; usually there is only one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from bst.errors import InputError


@dataclass(frozen=True)
class World:
    """This process among `size`; process 0 is the one that writes and prints.

    With a size of 1 every method returns its argument. With more, all processes must call it together.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all processes, in place, and return it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Collect the CPU tensors, of one shape and dtype, that the processes hold, in the order of their ranks."""
        if self.size == 1:
            return [tensor]
        here = tensor.to(self.device)
        parts = [torch.empty_like(here) for _ in range(self.size)]
        dist.all_gather(parts, here)
        return [part.cpu() for part in parts]

    def require_same(self, sha256: str, what: str) -> None:
        """Refuse processes that hold different things, by their hashes.

        Raises:
            InputError: in all of them; the message says which process differs from the first.
        """
        first, *others = self.gather(torch.frombuffer(bytearray.fromhex(sha256), dtype=torch.uint8))
        for rank, other in enumerate(others, 1):
            if not torch.equal(first, other):
                raise InputError(f"process {rank} of {self.size} has other {what} than the first; give all the same")


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, by gloo on the CPU and nccl on CUDA, while the block lasts.

    Without `torchrun` the world is this process. On CUDA each process of a machine takes a device of its own.

    Raises:
        InputError: the device is not there, or fewer of them than processes.
    """
    size, rank, local = (int(os.environ.get(name, default)) for name, default in _TORCHRUN)
    if size == 1:
        require_device(device)
        yield World(device=device)
        return
    if device == "cuda":
        there, needed = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", size))
        if there < needed:
            raise InputError(f"{needed} processes need a CUDA device each and {there} are here; start fewer processes")
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
        require_device(device)
    elif device != "cpu":
        raise InputError(f"device {device!r} for {size} processes; give cpu or cuda, and each takes its own")
    dist.init_process_group("gloo" if device == "cpu" else "nccl", timeout=timedelta(minutes=30))
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()


def require_device(device: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises:
        InputError: names the device and what is there.
    """
    try:
        if device != "cpu" and device.split(":")[0] != "cuda":
            raise RuntimeError(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        there = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"device {device!r} is not available here; available: {there}") from None


_TORCHRUN = (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
