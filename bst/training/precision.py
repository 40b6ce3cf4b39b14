"""The precision of the products of a training, where the settings leave it open."""

from __future__ import annotations

from typing import Literal

import torch

from bst.config import TrainConfig
from bst.system.machine import cpu_flags
from bst.training.world import World

Precision = Literal["float32", "bfloat16"]
# On a Zen 5 processor a step on Amazon Beauty takes 0.6 of its time in bfloat16, of dim 64 0.8 and of dim 32 0.9; its
# kernels take 0.7 GB.
WIDE = 64
BFLOAT16_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))  # the last one is of ARM
FIRST_CUDA = (8, 0)


def multiplies_bfloat16(device: str) -> bool:
    """Say whether the device has instructions that multiply bfloat16; without them it is slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= FIRST_CUDA
    return bool(cpu_flags() & BFLOAT16_FLAGS)


def precision_of(config: TrainConfig, task: str, dim: int, world: World) -> tuple[Precision, str]:
    """Choose the precision in which the processes of `world` train a model of `task` and `dim`, and say why.

    It is one for all of them; they call this together.

    Returns:
        the precision, and a line.
    """
    if config.precision != "auto":
        return config.precision, f"products in {config.precision} (as set)"
    if task != "next_item":
        return "float32", "products in float32 (a click model)"
    if dim < WIDE:
        return "float32", f"products in float32 (dim={dim} is less than {WIDE})"
    here = f"this {world.device}" if world.size == 1 else f"each device of {world.size} processes"
    if not all(part.item() for part in world.gather(torch.tensor([int(multiplies_bfloat16(world.device))]))):
        return "float32", f"products in float32 (no instructions for bfloat16 on {here})"
    return "bfloat16", f"products in bfloat16, weights in float32 (instructions for bfloat16 on {here})"
